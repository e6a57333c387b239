//! A store's Parquet files to object storage that speaks S3.
//!
//! A file is copied once it has been left alone for a while, in one request that only succeeds if there is no such object
//! yet (`If-None-Match: *`), with its SHA-256 for the server to check. So an object is there whole or not at all, and is
//! never overwritten; a restart at any point does no harm. What was copied is remembered in a journal beside the spool, so
//! that nothing is asked twice; without the journal the server says what is there.
//!
//! Merged files: `X.replaces` goes before `X.merged.parquet`, as in the store, and the objects that it names are removed after.
//! A file that the store's retention removes stays in the bucket, whose own rules say for how long.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::digest;
use rusty_s3::actions::{DeleteObject, HeadObject, PutObject, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use crate::carry::SendError;
use crate::http::Http;
use crate::secret::Secret;
use crate::tls::{Tls, TlsError};

/// Where the bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// The service's URL.
    pub url: String,
    /// The bucket. It must be there.
    pub bucket: String,
    /// The region; services of one's own mostly don't mind.
    pub region: String,
    /// What names begin with: `sensor-1/`.
    pub prefix: String,
    /// True for `URL/bucket/name`, false for `bucket.URL/name`.
    pub path_style: bool,
    /// The key's name; without one, `AWS_ACCESS_KEY_ID` and its companions say so.
    pub access_key: Option<String>,
    /// The key.
    pub secret_key: Option<Secret>,
    /// A file that was changed within this time is left for later: it may still be merged.
    pub settle: Duration,
    /// Certificates.
    pub tls: Tls,
}

/// Copies files.
pub struct S3 {
    bucket: Bucket,
    credentials: Option<Credentials>,
    http: Http,
    prefix: String,
    settle: Duration,
    journal: File,
    done: HashSet<String>,
}

/// What one look at the store has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Files that were copied.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were there already.
    pub present: u64,
    /// Objects removed because a merged file holds their records.
    pub removed: u64,
    /// Files of which the bucket has another version: they are left alone.
    pub conflicts: Vec<String>,
}

const SIGNED_FOR: Duration = Duration::from_secs(600);

impl S3 {
    /// Does not connect yet. `state` is a folder for the journal.
    ///
    /// # Errors
    /// If the URL, the certificates or the journal can't be used.
    pub fn new(options: &S3Options, state: &Path, name: &str) -> Result<Self, TlsError> {
        let bad =
            |path: &Path, why: &dyn ToString| TlsError::File { path: path.to_owned(), why: why.to_string() };
        let url = options.url.parse().map_err(|error| bad(options.url.as_ref(), &error))?;
        let style = if options.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = Bucket::new(url, style, options.bucket.clone(), options.region.clone())
            .map_err(|error| bad(options.url.as_ref(), &error))?;
        let credentials = match (&options.access_key, &options.secret_key) {
            (Some(key), Some(secret)) => Some(Credentials::new(key.clone(), secret.to_string())),
            _ => Credentials::from_env(),
        };
        let path = state.join(format!("{name}.copied"));
        let mut journal = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|error| bad(&path, &error))?;
        let mut text = String::new();
        journal.read_to_string(&mut text).map_err(|error| bad(&path, &error))?;
        // A line that was being written when the power went is no line.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        if whole.len() + 1 < text.len() || whole.is_empty() && !text.is_empty() {
            journal.write_all(b"\n").map_err(|error| bad(&path, &error))?;
        }
        Ok(Self {
            bucket,
            credentials,
            http: Http::new(&options.tls, SIGNED_FOR)?,
            prefix: options.prefix.clone(),
            settle: options.settle,
            journal,
            done: whole.lines().map(str::to_owned).collect(),
        })
    }

    /// Looks through a store once and copies what is to be copied.
    ///
    /// # Errors
    /// If the store can't be read or the service does not take a file; what was copied until then stays.
    pub fn pass(&mut self, store: &Path) -> Result<Pass, SendError> {
        let failed = |error: io::Error| SendError::Again(format!("{}: {error}", store.display()));
        let mut files = Vec::new();
        find(store, Path::new(""), 0, &mut files).map_err(failed)?;
        files.sort();
        let (merged, replaced) = merged(store, &files);
        let mut pass = Pass::default();
        for file in files.iter().filter(|file| !replaced.contains(*file) && !merged.contains(*file)) {
            self.file(store, file, &mut pass)?;
        }
        for file in merged {
            let Some(list) = list_of(&file) else { continue };
            let names = std::fs::read_to_string(store.join(&list)).unwrap_or_default();
            if !self.is_settled(&store.join(&file)) {
                continue;
            }
            if store.join(&list).exists() {
                self.file(store, &list, &mut pass)?;
            }
            self.file(store, &file, &mut pass)?;
            // The journal still has them after a restart: then they are removed once more, which does no harm.
            for name in names.lines() {
                let key = self.key(&file.with_file_name(name));
                if self.done.contains(&self.key(&file)) && self.done.contains(&key) {
                    self.remove(&key)?;
                    self.done.remove(&key);
                    pass.removed += 1;
                }
            }
        }
        Ok(pass)
    }

    fn key(&self, file: &Path) -> String {
        format!("{}{}", self.prefix, file.display())
    }

    fn is_settled(&self, path: &Path) -> bool {
        let age = path.metadata().and_then(|meta| meta.modified()).ok();
        age.and_then(|modified| SystemTime::now().duration_since(modified).ok())
            .is_some_and(|age| age >= self.settle)
    }

    fn file(&mut self, store: &Path, file: &Path, pass: &mut Pass) -> Result<(), SendError> {
        let (path, key) = (store.join(file), self.key(file));
        if self.done.contains(&key) || !self.is_settled(&path) {
            return Ok(());
        }
        let failed = |error: io::Error| SendError::Again(format!("{}: {error}", path.display()));
        let source = match File::open(&path) {
            Ok(source) => source,
            // Retention or a merge was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let bytes = source.metadata().map_err(failed)?.len();
        let sum = sha256(&source).map_err(failed)?;
        if self.put(&key, &path, &sum)? {
            pass.copied += 1;
            pass.bytes += bytes;
        } else if self.len(&key)? == Some(bytes) {
            pass.present += 1;
        } else {
            pass.conflicts.push(key);
            return Ok(());
        }
        self.journal.write_all(format!("{key}\n").as_bytes()).map_err(failed)?;
        self.done.insert(key);
        Ok(())
    }

    /// False if there is such an object already.
    fn put(&self, key: &str, path: &Path, sum: &str) -> Result<bool, SendError> {
        let mut action = PutObject::new(&self.bucket, self.credentials.as_ref(), key);
        action.headers_mut().insert("if-none-match", "*");
        action.headers_mut().insert("x-amz-checksum-sha256", sum.to_owned());
        let url = action.sign(SIGNED_FOR);
        let headers = [("if-none-match", "*"), ("x-amz-checksum-sha256", sum)];
        let file =
            File::open(path).map_err(|error| SendError::Again(format!("{}: {error}", path.display())))?;
        let answer = self.http.send_file(url.as_str(), &headers, file)?;
        match answer.status {
            200..300 => Ok(true),
            412 => Ok(false),
            status => Err(said(&self.bucket.object_url(key), status, &answer.body)),
        }
    }

    /// How long the object is, if there is one.
    fn len(&self, key: &str) -> Result<Option<u64>, SendError> {
        let url = HeadObject::new(&self.bucket, self.credentials.as_ref(), key).sign(SIGNED_FOR);
        let answer = self.http.send("HEAD", url.as_str(), &[], &[])?;
        let len = answer.headers.get("content-length").and_then(|len| len.to_str().ok()?.parse().ok());
        Ok(len.filter(|_| answer.status == 200))
    }

    fn remove(&self, key: &str) -> Result<(), SendError> {
        let url = DeleteObject::new(&self.bucket, self.credentials.as_ref(), key).sign(SIGNED_FOR);
        let answer = self.http.send("DELETE", url.as_str(), &[], &[])?;
        match answer.status {
            200..300 | 404 => Ok(()),
            status => Err(said(&self.bucket.object_url(key), status, &answer.body)),
        }
    }
}

/// The service's own words: a code between tags of XML. The signature in the URL is no one's business.
fn said(url: &url::Url, status: u16, body: &str) -> SendError {
    let between = |tag: &str| {
        let (_, rest) = body.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
    };
    let code = between("Code").or_else(|| between("Message")).unwrap_or_default();
    SendError::Again(format!("{url} answers {status} {}", crate::alarm::plain(code, 100)))
}

fn sha256(mut source: &File) -> io::Result<String> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(BASE64_STANDARD.encode(hash.finish())),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// How deep a store's folders are looked through.
const DEPTH_MAX: u8 = 4;

/// The Parquet files below a folder, by their paths within the store.
fn find(store: &Path, within: &Path, depth: u8, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(store.join(within))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(text) = name.to_str().filter(|name| !name.starts_with(['.', '_'])) else { continue };
        let path = within.join(text);
        let ty = entry.file_type()?;
        if ty.is_dir() && depth < DEPTH_MAX {
            find(store, &path, depth + 1, files)?;
        } else if ty.is_file() && text.ends_with(".parquet") {
            files.push(path);
        }
    }
    Ok(())
}

fn list_of(merged: &Path) -> Option<PathBuf> {
    let stem = merged.file_name()?.to_str()?.strip_suffix(".merged.parquet")?;
    Some(merged.with_file_name(format!("{stem}.replaces")))
}

/// The merged files, and those that they replace.
fn merged(store: &Path, files: &[PathBuf]) -> (Vec<PathBuf>, HashSet<PathBuf>) {
    let (mut merged, mut replaced) = (Vec::new(), HashSet::new());
    for file in files {
        let Some(list) = list_of(file) else { continue };
        // Once what it replaces is gone, so may the list be.
        let names = std::fs::read_to_string(store.join(list)).unwrap_or_default();
        replaced.extend(names.lines().map(|name| file.with_file_name(name)));
        merged.push(file.clone());
    }
    // A merged file may be merged once more.
    merged.retain(|file| !replaced.contains(file));
    (merged, replaced)
}
