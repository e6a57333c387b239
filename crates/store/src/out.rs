//! Where records go, and what can go wrong there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file, a folder, or standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, or for Zeek's logs a folder.
    Path(PathBuf),
}

/// What went wrong with the output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It can't be created.
    #[error("can't create {}: {cause}", path.display())]
    Create {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It can't be written on.
    #[error("can't write on to {to} after {flows} flows: {cause}; what was written until then is kept")]
    Write {
        /// Which file, or `standard output`.
        to: String,
        /// Flows that were written whole.
        flows: u64,
        /// What the system says.
        cause: io::Error,
    },
    /// The format needs a folder.
    #[error("Zeek's logs are several files: name a folder with --output DIR")]
    NeedsFolder,
    /// The format can't be written to standard output.
    #[error("a Parquet file can't be written to standard output: name a file with --output FILE")]
    NeedsFile,
}

impl StoreError {
    /// True if the reader of a pipe has gone away: nothing is wrong, nobody reads on.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl Destination {
    /// Its name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".into(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    pub(crate) fn writer(&self) -> Result<Out, StoreError> {
        let inner: Box<dyn Write + Send> = match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Path(path) => Box::new(create(path)?),
        };
        Ok(Out { inner: BufWriter::with_capacity(1 << 17, inner), to: self.name(), flows: 0, error: None })
    }

    pub(crate) fn file(&self) -> Result<(File, String), StoreError> {
        match self {
            Self::Stdout => Err(StoreError::NeedsFile),
            Self::Path(path) => Ok((create(path)?, self.name())),
        }
    }

    pub(crate) fn folder(&self) -> Result<&Path, StoreError> {
        let Self::Path(path) = self else { return Err(StoreError::NeedsFolder) };
        std::fs::create_dir_all(path).map_err(|cause| StoreError::Create { path: path.clone(), cause })?;
        Ok(path)
    }
}

pub(crate) fn create(path: &Path) -> Result<File, StoreError> {
    File::create(path).map_err(|cause| StoreError::Create { path: path.to_owned(), cause })
}

/// Text on its way out: remembers the first error, and how many flows were written before it.
pub(crate) struct Out {
    inner: BufWriter<Box<dyn Write + Send>>,
    to: String,
    flows: u64,
    error: Option<io::Error>,
}

impl Out {
    /// Writes a piece; `flows` of it are complete with it.
    pub(crate) fn write(&mut self, bytes: &[u8], flows: u64) {
        if self.error.is_some() {
            return;
        }
        match self.inner.write_all(bytes) {
            Ok(()) => self.flows += flows,
            Err(error) => self.error = Some(error),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.error.is_some()
    }

    pub(crate) fn finish(&mut self) -> Result<u64, StoreError> {
        if self.error.is_none() {
            self.error = self.inner.flush().err();
        }
        match self.error.take() {
            None => Ok(self.flows),
            Some(cause) => Err(StoreError::Write { to: self.to.clone(), flows: self.flows, cause }),
        }
    }
}
