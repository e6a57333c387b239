//! Files of lines, as they come: plain, or under gzip or zstd, which are known by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// What names of files end in that are compressed, besides what they would end in otherwise.
pub const COMPRESSED: [&str; 2] = [".gz", ".zst"];

const BUFFER_BYTES: usize = 256 << 10;

/// Opens a file, `-` for standard input, and undoes gzip or zstd.
///
/// # Errors
/// If it can't be opened, or the first bytes can't be read.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    if path.as_os_str() == "-" {
        return plain(io::stdin());
    }
    plain(File::open(path)?)
}

fn plain(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut head = Vec::new();
    (&mut input).take(4).read_to_end(&mut head)?;
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head.clone()).chain(input));
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::read::MultiGzDecoder::new(whole)))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::Decoder::with_buffer(whole)?))
        }
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_read_as_what_it_was() {
        let text = b"{\"a\":1}\n".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &text).expect("written");
        let gzip = gzip.finish().expect("written");
        let zstd = zstd::encode_all(&*text, 1).expect("written");
        // Both may be made of parts.
        for (packed, parts) in [(text.clone(), 1), (gzip.repeat(2), 2), (zstd.repeat(2), 2)] {
            let mut read = Vec::new();
            plain(Cursor::new(packed)).expect("opened").read_to_end(&mut read).expect("read");
            assert_eq!(read, text.repeat(parts));
        }
        for short in [&b""[..], b"{", b"\x1f"] {
            let mut read = Vec::new();
            plain(short).expect("opened").read_to_end(&mut read).expect("read");
            assert_eq!(read, short);
        }
    }
}
