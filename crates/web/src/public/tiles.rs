//! The log itself, file by file, for whoever mirrors or verifies it (C2SP tlog-tiles).
//!
//! Names are read into numbers and written anew, so that no name from outside ever reaches the file system. Only what the
//! verified checkpoint covers is given out: what lies beyond may still be taken back, and these answers are kept for ever.

use std::io;
use std::path::Path;

/// Entries of a full bundle, hashes of a full tile.
const WIDTH: u64 = 256;
const HASH_BYTES: usize = 32;
/// A bundle of 256 entries of 65,535 bytes, each with its length.
const FILE_BYTES_MAX: u64 = WIDTH * (2 + 65_535);

/// A tile's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TileName {
    /// The level of hashes; none for a bundle of entries.
    level: Option<u32>,
    index: u64,
    /// How many hashes or entries: 256, or fewer for a partial one.
    width: u64,
}

impl TileName {
    /// Reads what follows `tile/`.
    pub(super) fn parse(segments: &[&str]) -> Option<Self> {
        let (first, rest) = segments.split_first()?;
        let level = if *first == "entries" { None } else { Some(u32::try_from(decimal(first, 63)?).ok()?) };
        let (rest, width) = match rest {
            [rest @ .., last, width] if last.ends_with(".p") => {
                (last.strip_suffix(".p").map(|last| (rest, last))?, decimal(width, 255).filter(|w| *w > 0)?)
            }
            [rest @ .., last] => ((rest, *last), WIDTH),
            [] => return None,
        };
        let (upper, last) = rest;
        // 64 bits have seven groups of three digits.
        if upper.len() > 6 || upper.first() == Some(&"x000") {
            return None;
        }
        let mut index = 0_u64;
        for group in upper {
            index = index.checked_mul(1000)?.checked_add(group_of(group.strip_prefix('x')?)?)?;
        }
        index = index.checked_mul(1000)?.checked_add(group_of(last)?)?;
        Some(Self { level, index, width })
    }

    /// Whether a log of this size has it.
    pub(super) fn is_covered(self, size: u64) -> bool {
        let count = match self.level.map(|level| level * 8) {
            None => size,
            Some(bits) => size.checked_shr(bits).unwrap_or(0),
        };
        self.index
            .checked_mul(WIDTH)
            .and_then(|first| first.checked_add(self.width))
            .is_some_and(|end| end <= count)
    }

    /// The file's name below the log's folder.
    fn path(self) -> String {
        let mut groups = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.insert_str(0, &format!("x{:03}/", rest % 1000));
            rest /= 1000;
        }
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let partial = if self.width < WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{level}/{groups}{partial}")
    }

    /// The bytes. A partial tile that was removed when its full one came is cut from that.
    pub(super) fn read(self, log: &Path) -> io::Result<Vec<u8>> {
        match read(&log.join(self.path())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.width < WIDTH => {
                let full = read(&log.join(Self { width: WIDTH, ..self }.path()))?;
                self.cut(full).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
            other => other,
        }
    }

    fn cut(self, mut full: Vec<u8>) -> Option<Vec<u8>> {
        let mut end = 0;
        for _ in 0..self.width {
            end += match self.level {
                Some(_) => HASH_BYTES,
                None => {
                    let length = full.get(end..)?.first_chunk::<2>()?;
                    2 + usize::from(u16::from_be_bytes(*length))
                }
            };
        }
        (end <= full.len()).then(|| {
            full.truncate(end);
            full
        })
    }
}

/// A number without leading zeros, up to `max`.
fn decimal(text: &str, max: u64) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|number| plain && *number <= max)?;
    (text.len() == 1 || !text.starts_with('0')).then_some(number)
}

fn group_of(text: &str) -> Option<u64> {
    let plain = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(io::ErrorKind::InvalidData.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(name: &str) -> Option<TileName> {
        let segments: Vec<&str> = name.split('/').collect();
        TileName::parse(&segments)
    }

    #[test]
    fn names_are_those_of_the_specification() {
        let tile = TileName { level: Some(0), index: 1_234_067, width: 256 };
        assert_eq!(parsed("0/x001/x234/067"), Some(tile));
        assert_eq!(tile.path(), "tile/0/x001/x234/067");
        let bundle = TileName { level: None, index: 7, width: 12 };
        assert_eq!(parsed("entries/007.p/12"), Some(bundle));
        assert_eq!(bundle.path(), "tile/entries/007.p/12");
        for wrong in [
            "",
            "0",
            "0/",
            "64/000",
            "00/000",
            "0/00",
            "0/0000",
            "0/x000/000",
            "0/001/002",
            "0/x001",
            "0/000.p",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/..",
            "entries/../../key",
            "0/000/",
            "1/+01",
            "-1/000",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_the_checkpoint_covers() {
        for (name, covered) in [
            ("0/000", true),
            ("0/001", true),
            ("0/002", false),
            ("0/002.p/88", true),
            ("0/002.p/89", false),
            ("1/000", false),
            ("1/000.p/2", true),
            ("1/000.p/3", false),
            ("2/000.p/1", false),
            ("63/000.p/1", false),
            ("entries/002.p/88", true),
            ("entries/002", false),
            ("0/x018/x446/x744/x073/x709/x551/615", false),
        ] {
            assert_eq!(parsed(name).unwrap().is_covered(600), covered, "{name}");
        }
    }

    proptest! {
        #[test]
        fn names_are_written_as_they_are_read(level in proptest::option::of(0_u32..64), index: u64, width in 1_u64..=256) {
            let name = TileName { level, index, width };
            prop_assert_eq!(parsed(name.path().strip_prefix("tile/").unwrap()), Some(name));
        }

        #[test]
        fn no_name_leaves_the_folder(name in "[0-9x./a-z]{0,24}") {
            if let Some(tile) = parsed(&name) {
                prop_assert_eq!(tile.path(), format!("tile/{name}"));
            }
        }
    }
}
