//! Where records go, and what can go wrong there.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
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
        let inner: Box<dyn Target> = match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Path(path) => Box::new(create(path)?),
        };
        Ok(Out::new(inner, self.name()))
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

/// What can be written to and, if it is a file, cut: half a record at the end of a file would spoil it for strict readers.
pub(crate) trait Target: Write + Send {
    /// Cuts to this length and goes on there. Does nothing where that can't be done.
    fn cut(&mut self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
    }
}

impl Target for io::Stdout {}

impl Target for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        // A pipe or a device may have been named: neither can be cut.
        if self.metadata()?.is_file() {
            self.set_len(len)?;
            self.seek(SeekFrom::Start(len))?;
        }
        Ok(())
    }
}

/// Text on its way out: collects it, remembers the first error, and how many flows were written before it.
pub(crate) struct Out {
    inner: Box<dyn Target>,
    to: String,
    buffer: Vec<u8>,
    /// Where in the buffer pieces end, and how many flows each completes.
    ends: Vec<(usize, u64)>,
    /// Bytes in whole pieces that were written.
    whole: u64,
    flows: u64,
    error: Option<io::Error>,
}

/// So much is collected before it is written.
const BUFFER_BYTES: usize = 1 << 17;

impl Out {
    pub(crate) fn new(inner: Box<dyn Target>, to: String) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { inner, to, buffer, ends: Vec::new(), whole: 0, flows: 0, error: None }
    }

    /// Writes a piece (a line or several); `flows` of it are complete with it.
    pub(crate) fn write(&mut self, bytes: &[u8], flows: u64) {
        if self.error.is_some() {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        self.ends.push((self.buffer.len(), flows));
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.error.is_some()
    }

    /// How many flows were written, and the error if there was one.
    pub(crate) fn finish(&mut self) -> Result<u64, StoreError> {
        self.flush();
        match self.error.take() {
            None => Ok(self.flows),
            Some(cause) => Err(StoreError::Write { to: self.to.clone(), flows: self.flows, cause }),
        }
    }

    fn flush(&mut self) {
        if self.error.is_some() {
            return;
        }
        let mut at = 0;
        while let Some(rest) = self.buffer.get(at..).filter(|rest| !rest.is_empty()) {
            match self.inner.write(rest) {
                Ok(0) => self.error = Some(io::ErrorKind::WriteZero.into()),
                Ok(n) => at += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.error = Some(error),
            }
            if self.error.is_some() {
                break;
            }
        }
        if self.error.is_none() {
            self.error = self.inner.flush().err();
        }
        let mut kept = 0;
        for (end, flows) in self.ends.drain(..).take_while(|(end, _)| *end <= at) {
            kept = end;
            self.flows += flows;
        }
        self.whole += kept as u64;
        if at > kept {
            // If it can't be cut, half a line stays. The error to tell of is the first.
            let _ = self.inner.cut(self.whole);
        }
        self.buffer.clear();
    }
}

/// Whoever forgets to finish loses the errors, but not the records.
impl Drop for Out {
    fn drop(&mut self) {
        self.flush();
    }
}
