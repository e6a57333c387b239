//! What somebody has to know before the first packet is sent. All texts of this kind are here.

use std::fs;
use std::io;
use std::path::Path;

/// The version of [`TEXT`]: a new one is shown again.
const VERSION: &str = "1";

/// What is shown before the first run.
pub const TEXT: &str = "\
Before you measure

Daylight will visit every site of the list from this network, as a browser
would, and send some packets that no browser sends. Some of the sites may be
blocked here, or disliked.

  Who can see it     Your provider, and whoever watches it, can see which names
                     you look up and which addresses you connect to. Measuring
                     does not hide that you measure. Some of the packets are
                     unusual.
  Is it legal?       That depends on where you are. In some countries visiting
                     certain sites, or testing for blocking, can bring you into
                     trouble. If you are not sure, ask somebody who knows, and
                     leave categories out.
  What is kept       The measurements are written to a file on this machine,
                     and are sent nowhere. Your own address is taken out of it.
                     It still says which network you were in, and when.
  Who else is asked  Public resolvers and the helper that you chose learn what
                     is measured, and your address.
  Less noise         With low noise only what a browser does is done, slowly,
                     one site after the other.

Don't measure where being noticed would put you or others in danger.
";

/// Whether the text was acknowledged before.
#[must_use]
pub fn is_given(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.trim() == VERSION)
}

/// Writes down that it was acknowledged.
///
/// # Errors
/// If the file can't be written.
pub fn give(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, format!("{VERSION}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_any_terminal() {
        assert_eq!(TEXT.lines().find(|line| line.chars().count() > 79), None);
    }

    #[test]
    fn it_is_asked_once_for_each_version() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/consent");
        assert!(!is_given(&file));
        give(&file).unwrap();
        assert!(is_given(&file));
        fs::write(&file, "0\n").unwrap();
        assert!(!is_given(&file));
    }
}
