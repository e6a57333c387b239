//! Opening a capture, and saying what is wrong with what is none.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::Path;

use daylight_packet::{FrameSource, SourceError};

use crate::format::{Format, NotACapture};
use crate::input::{FILE_LEN_MIN, Input, Mapped, Stream, Tail};
use crate::source::CaptureSource;

/// How many first bytes tell compression and format.
const HEAD_LEN: usize = 24;

/// Opens a capture; `-` is the standard input.
///
/// # Errors
/// If there is no such file, it can't be read, or is not a capture; the message says what it is instead.
pub fn open(path: &Path) -> Result<Box<dyn FrameSource>, SourceError> {
    if path.as_os_str() == "-" {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(error("the standard input is a terminal: give a file, or pipe a capture in".into()));
        }
        return read("standard input", stdin, None);
    }
    let name = path.display().to_string();
    let metadata = std::fs::metadata(path).map_err(|cause| cannot_open(&name, cause))?;
    if metadata.is_dir() {
        return Err(error(format!("{name} is a directory: give the captures in it, as in '{name}/*.pcap'")));
    }
    let file = File::open(path).map_err(|cause| cannot_open(&name, cause))?;
    if !metadata.is_file() {
        return read(&name, file, None);
    }
    if metadata.len() >= FILE_LEN_MIN {
        let mut head = [0; HEAD_LEN];
        (&file)
            .read_exact(&mut head)
            .and_then(|()| (&file).rewind())
            .map_err(|cause| cannot_read(&name, cause))?;
        if compression(&head).is_none() {
            let mapped = Mapped::new(file).map_err(|cause| cannot_read(&name, cause))?;
            return start(name, Box::new(mapped));
        }
    }
    read(&name, file, Some(metadata.len()))
}

/// Reads a capture from anything; `name` is what errors call it, `len` how many bytes there are, if known.
///
/// # Errors
/// If it can't be read, or is not a capture.
pub fn open_reader(
    name: &str,
    reader: impl Read + Send + 'static,
    len: Option<u64>,
) -> Result<Box<dyn FrameSource>, SourceError> {
    read(name, reader, len)
}

/// Reads a capture from bytes.
///
/// # Errors
/// If they are not a capture.
pub fn open_bytes(bytes: Vec<u8>) -> Result<Box<dyn FrameSource>, SourceError> {
    let len = bytes.len() as u64;
    read("the input", io::Cursor::new(bytes), Some(len))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
}

fn compression(head: &[u8]) -> Option<Compression> {
    match *head {
        [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
        // A frame, or a frame to be skipped (as seekable files and parallel compressors write first).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        _ => None,
    }
}

fn read(
    name: &str,
    mut reader: impl Read + Send + 'static,
    len: Option<u64>,
) -> Result<Box<dyn FrameSource>, SourceError> {
    let mut head = Vec::new();
    let first = reader.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head);
    first.map_err(|cause| cannot_read(name, cause))?;
    let compression = compression(&head);
    let raw = io::Cursor::new(head).chain(reader);
    let input = match compression {
        None => Ok(Stream::plain(raw, len)),
        Some(Compression::Gzip) => Stream::compressed(raw, len, |counted| {
            let buffered = io::BufReader::with_capacity(128 << 10, counted);
            Ok(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)))
        }),
        Some(Compression::Zstd) => {
            Stream::compressed(raw, len, |counted| Ok(Box::new(zstd::stream::read::Decoder::new(counted)?)))
        }
    };
    let input = input.map_err(|cause| cannot_read(name, cause))?;
    start(name.to_owned(), Box::new(input))
}

/// Recognises the format and makes the source.
fn start(name: String, mut input: Box<dyn Input>) -> Result<Box<dyn FrameSource>, SourceError> {
    let window = input.window(0, &[], HEAD_LEN).map_err(|cause| cannot_read(&name, cause))?;
    let head = window.data.bytes().get(window.start..).unwrap_or_default();
    match Format::detect(head) {
        Ok((format, at)) => Ok(Box::new(CaptureSource::new(name, input, format, window, at))),
        Err(NotACapture::CutShort | NotACapture::Unknown)
            if head.len() < HEAD_LEN
                && let Tail::Damaged(reason) = &window.tail =>
        {
            Err(error(format!("{name}: {reason}")))
        }
        Err(_) if head.is_empty() => Err(error(format!("{name} is empty"))),
        Err(NotACapture::CutShort) => Err(error(format!("{name} ends within the capture's header"))),
        Err(NotACapture::Version) => {
            Err(error(format!("{name} is a pcap file of a version that is not read")))
        }
        Err(NotACapture::Unknown) => Err(error(format!(
            "{name} is {}; daylight reads pcap and pcapng, also under gzip and zstd",
            describe(head)
        ))),
    }
}

/// What bytes that are no capture look like.
fn describe(head: &[u8]) -> String {
    let known = match *head {
        [0x1f, 0x8b, ..] => "compressed with gzip twice: decompress it once",
        [b'B', b'Z', b'h', ..] => {
            "compressed with bzip2: decompress it first, as in 'bzip2 -dc FILE | daylight inspect -'"
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            "compressed with xz: decompress it first, as in 'xz -dc FILE | daylight inspect -'"
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => {
            "compressed with lz4: decompress it first, as in 'lz4 -dc FILE | daylight inspect -'"
        }
        [b'P', b'K', 3 | 5, ..] => "a zip archive: unpack it first",
        [b's', b'n', b'o', b'o', b'p', 0, ..] => "a snoop capture: convert it with 'editcap -F pcapng'",
        [b'G', b'M', b'B', b'U', ..] | [b'R', b'T', b'S', b'S', ..] => {
            "a Network Monitor capture: convert it with 'editcap -F pcapng'"
        }
        [0x7f, b'E', b'L', b'F', ..] => "a program (ELF)",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => "cut short within its pcapng section header, or damaged there",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    let sample = head.get(..head.len().min(256)).unwrap_or_default();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if sample.iter().all(is_text)
        && std::str::from_utf8(sample).map_or_else(|e| e.error_len().is_none(), |_| true)
    {
        return "a text file".into();
    }
    let bytes: Vec<String> = sample.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("not a capture (it begins with {})", bytes.join(" "))
}

fn error(message: String) -> SourceError {
    SourceError { message, cause: None }
}

fn cannot_open(name: &str, cause: io::Error) -> SourceError {
    let message = match cause.kind() {
        io::ErrorKind::NotFound => format!("{name}: no such file"),
        io::ErrorKind::PermissionDenied => format!("{name}: no permission to read it"),
        _ => format!("{name}: can't be opened: {cause}"),
    };
    SourceError { message, cause: Some(cause) }
}

fn cannot_read(name: &str, cause: io::Error) -> SourceError {
    SourceError { message: format!("{name}: can't be read: {cause}"), cause: Some(cause) }
}
