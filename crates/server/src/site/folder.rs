//! A folder of files as a site, answered as nginx answers.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tokio_util::io::poll_read_buf;

use super::answer::{Answerer, full};
use super::conditions::{Outcome, Version};
use super::pages::Status;
use super::path::SitePath;
use super::range::{Parts, parts};
use super::{Public, SiteBody, mime};

/// Pieces in which files are read; files up to this long are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<OwnedFd>);

/// What a path names.
enum Found {
    File(Opened),
    Folder,
}

struct Opened {
    file: File,
    len: u64,
    version: Version,
}

impl Folder {
    /// Opens the folder, and tries whether the system can keep paths within it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder =
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let folder = Self(Arc::new(folder));
        folder.open_within(b".", OFlags::PATH)?;
        Ok(folder)
    }

    /// A link may lead to another file of the folder, not out of it: the kernel sees to that.
    fn open_within(&self, relative: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            self.0.as_fd(),
            OsStr::from_bytes(relative),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    }

    fn find(&self, path: &SitePath) -> Result<Found, Status> {
        // A pipe, of which nobody writes the other end, must not hold us.
        let file = self.open_within(path.relative(), OFlags::RDONLY | OFlags::NONBLOCK).map_err(status)?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(|_| Status::INTERNAL)?;
        if metadata.is_dir() {
            return Ok(Found::Folder);
        }
        if !metadata.is_file() {
            return Err(Status::NOT_FOUND);
        }
        let len = metadata.len();
        let version = Version::new(metadata.modified().map_err(|_| Status::INTERNAL)?, len);
        Ok(Found::File(Opened { file, len, version }))
    }

    /// Answers a request. Reads the disk.
    pub(super) fn answer(&self, answerer: &Answerer<'_>, public: Public, host: &str) -> Response<SiteBody> {
        let request = answerer.request;
        let Ok(path) = SitePath::parse(request.uri.path()) else { return answerer.page(Status::BAD_REQUEST) };
        if !matches!(request.method, Method::GET | Method::HEAD | Method::POST) {
            return answerer.page(Status::NOT_ALLOWED);
        }
        if path.is_hidden() {
            return answerer.page(Status::NOT_FOUND);
        }
        let path = if path.is_folder() {
            let index = path.index();
            match self.open_within(index.relative(), OFlags::PATH) {
                Ok(_) => index,
                Err(error) => return answerer.page(self.without_index(&path, error)),
            }
        } else {
            path
        };
        match self.find(&path) {
            Err(status) => answerer.page(status),
            Ok(Found::Folder) => {
                let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                let location = format!("{}{}/{query}", public.origin(host), path.escaped());
                let location = vec![(header::LOCATION, location)];
                answerer.page_with(Status::MOVED, location, Vec::new())
            }
            Ok(Found::File(_)) if request.method == Method::POST => answerer.page(Status::NOT_ALLOWED),
            Ok(Found::File(opened)) => opened.answer(answerer, mime::of(path.extension())),
        }
    }

    /// A folder that is there but has no page isn't shown.
    fn without_index(&self, folder: &SitePath, error: Errno) -> Status {
        match status(error) {
            Status::NOT_FOUND if self.open_within(folder.relative(), OFlags::PATH).is_ok() => {
                Status::FORBIDDEN
            }
            status => status,
        }
    }
}

fn status(error: Errno) -> Status {
    match error {
        // EXDEV: a link leads out of the folder.
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::XDEV | Errno::NXIO => Status::NOT_FOUND,
        Errno::ACCESS | Errno::LOOP | Errno::PERM => Status::FORBIDDEN,
        _ => Status::INTERNAL,
    }
}

const OK: Status = Status { code: 200, reason: "OK", closes: false };
const PARTIAL: Status = Status { code: 206, reason: "Partial Content", closes: false };
const NOT_MODIFIED: Status = Status { code: 304, reason: "Not Modified", closes: false };

impl Opened {
    fn answer(self, answerer: &Answerer<'_>, media_type: &'static str) -> Response<SiteBody> {
        let Self { file, len, version } = self;
        let headers = &answerer.request.headers;
        let modified = (header::LAST_MODIFIED, httpdate::fmt_http_date(version.modified));
        let etag = (header::ETAG, version.etag.clone());
        match version.weigh(headers) {
            Outcome::Send => {}
            Outcome::Failed => return answerer.page(Status::PRECONDITION_FAILED),
            Outcome::NotModified => return answerer.answer(NOT_MODIFIED, vec![modified], vec![etag], None),
        }
        let asked = match headers.get(header::RANGE) {
            Some(range) if version.may_be_in_parts(headers) => parts(range.as_bytes(), len),
            _ => Parts::Whole,
        };
        let typed = |media_type: String, len: u64| {
            vec![
                (header::CONTENT_TYPE, media_type),
                (header::CONTENT_LENGTH, len.to_string()),
                modified.clone(),
            ]
        };
        let whole = answerer.request.method != Method::HEAD;
        match asked {
            Parts::NotSatisfiable => {
                let range = vec![(header::CONTENT_RANGE, format!("bytes */{len}"))];
                answerer.page_with(Status::RANGE_NOT_SATISFIABLE, Vec::new(), range)
            }
            Parts::Whole => {
                let late = vec![etag, (header::ACCEPT_RANGES, "bytes".to_owned())];
                let body = whole.then(|| body(file, 0..len));
                finish(answerer, OK, typed(media_type.to_owned(), len), late, body)
            }
            Parts::Some(ranges) => match ranges.as_slice() {
                [range] => {
                    let shown = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                    let late = vec![etag, (header::CONTENT_RANGE, shown)];
                    let part_len = range.end - range.start;
                    let body = whole.then(|| body(file, range.clone()));
                    finish(answerer, PARTIAL, typed(media_type.to_owned(), part_len), late, body)
                }
                ranges => {
                    let parts = Multipart::new(media_type, len, ranges);
                    let (boundary, part_len) = (&parts.boundary, parts.len());
                    let boundary = format!("multipart/byteranges; boundary={boundary}");
                    let early = typed(boundary, part_len);
                    let body = whole.then(|| Ok(PartsBody::new(file, parts).boxed_unsync()));
                    finish(answerer, PARTIAL, early, vec![etag], body)
                }
            },
        }
    }
}

fn finish(
    answerer: &Answerer<'_>,
    status: Status,
    early: super::answer::Fields,
    late: super::answer::Fields,
    body: Option<io::Result<SiteBody>>,
) -> Response<SiteBody> {
    match body.transpose() {
        Ok(body) => answerer.answer(status, early, late, body),
        Err(_) => answerer.page(Status::INTERNAL),
    }
}

/// A part of a file; a short one is read here, a long one while it is sent.
fn body(mut file: File, range: Range<u64>) -> io::Result<SiteBody> {
    let len = range.end - range.start;
    if len > PIECE_BYTES as u64 {
        file.seek(SeekFrom::Start(range.start))?;
        return Ok(FileBody::new(file, len).boxed_unsync());
    }
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(full(bytes))
}

/// A file from where it stands, so many bytes of it.
struct FileBody {
    file: tokio::fs::File,
    left: u64,
}

impl FileBody {
    fn new(file: File, len: u64) -> Self {
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(PIECE_BYTES);
        Self { file, left: len }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::with_capacity(self.left.min(PIECE_BYTES as u64) as usize);
        let read = match ready!(poll_read_buf(Pin::new(&mut self.file), cx, &mut piece)) {
            // The file has become shorter than the answer's head says.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        Poll::Ready(Some(read.map(|_| {
            piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= piece.len() as u64;
            Frame::data(piece.freeze())
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Several parts of a file, each with a head (RFC 9110 §14.6).
struct Multipart {
    boundary: String,
    /// Heads and the parts behind them; the end has none.
    pieces: Vec<(Bytes, Range<u64>)>,
}

impl Multipart {
    fn new(media_type: &str, len: u64, ranges: &[Range<u64>]) -> Self {
        // A file could hold it, as with nginx; a number that grows makes that unlikely twice.
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let boundary = format!("{:020}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let head = |range: &Range<u64>| {
            let (first, last) = (range.start, range.end - 1);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: bytes {first}-{last}/{len}\r\n\r\n"
            );
            (Bytes::from(head), range.clone())
        };
        let mut pieces: Vec<_> = ranges.iter().map(head).collect();
        pieces.push((format!("\r\n--{boundary}--\r\n").into(), 0..0));
        Self { boundary, pieces }
    }

    fn len(&self) -> u64 {
        self.pieces.iter().map(|(head, range)| head.len() as u64 + range.end - range.start).sum()
    }
}

struct PartsBody {
    file: Arc<File>,
    /// What is still to come, the next one last.
    pieces: Vec<(Bytes, Range<u64>)>,
    part: Option<FileBody>,
    left: u64,
}

impl PartsBody {
    fn new(file: File, parts: Multipart) -> Self {
        let left = parts.len();
        let mut pieces = parts.pieces;
        pieces.reverse();
        Self { file: Arc::new(file), pieces, part: None, left }
    }
}

impl Body for PartsBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(part) = &mut self.part {
            if let Some(frame) = ready!(Pin::new(part).poll_frame(cx)) {
                if let Ok(Some(data)) = frame.as_ref().map(Frame::data_ref) {
                    self.left -= data.len() as u64;
                }
                return Poll::Ready(Some(frame));
            }
            self.part = None;
        }
        let Some((head, range)) = self.pieces.pop() else { return Poll::Ready(None) };
        if range.start < range.end {
            let part = (&*self.file).seek(SeekFrom::Start(range.start)).and_then(|_| self.file.try_clone());
            match part {
                Ok(part) => self.part = Some(FileBody::new(part, range.end - range.start)),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        self.left -= head.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(head))))
    }

    fn is_end_stream(&self) -> bool {
        self.part.is_none() && self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
