//! Paths of requests, as nginx reads them.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// What nginx writes as `%XX` in a `Location`, besides what isn't ASCII.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path that is none: nginx answers 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPath;

/// A path that names something below the site's folder: decoded, without empty, `.` and `..` segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SitePath {
    /// Without the first slash; ends with a slash if a folder is asked for.
    relative: Vec<u8>,
}

impl SitePath {
    /// Reads the path of a request.
    ///
    /// # Errors
    /// It doesn't begin with a slash, leads out of the folder, has a NUL or a bad `%XX`.
    pub(super) fn parse(raw: &str) -> Result<Self, BadPath> {
        let decoded = decode(raw.strip_prefix('/').ok_or(BadPath)?)?;
        let mut segments: Vec<&[u8]> = Vec::new();
        let mut is_folder = true;
        for segment in decoded.split(|byte| *byte == b'/') {
            is_folder = matches!(segment, b"" | b"." | b"..");
            match segment {
                b"" | b"." => {}
                b".." => {
                    segments.pop().ok_or(BadPath)?;
                }
                name => segments.push(name),
            }
        }
        let mut relative = segments.join(&b'/');
        if is_folder && !relative.is_empty() {
            relative.push(b'/');
        }
        Ok(Self { relative })
    }

    pub(super) fn is_folder(&self) -> bool {
        self.relative.is_empty() || self.relative.ends_with(b"/")
    }

    /// Names that begin with a dot are left-overs of editors and version control, never pages; but for the folder that
    /// RFC 8615 reserves.
    pub(super) fn is_hidden(&self) -> bool {
        let mut segments = self.relative.split(|byte| *byte == b'/');
        let first_is_hidden =
            segments.next().is_some_and(|first| first.starts_with(b".") && first != b".well-known");
        first_is_hidden || segments.any(|segment| segment.starts_with(b"."))
    }

    /// Below the site's folder; the folder itself is `.`.
    pub(super) fn relative(&self) -> &[u8] {
        if self.relative.is_empty() { b"." } else { &self.relative }
    }

    /// The page of a folder.
    pub(super) fn index(&self) -> Self {
        Self { relative: [&self.relative, b"index.html".as_slice()].concat() }
    }

    /// As it stands in a `Location`.
    pub(super) fn escaped(&self) -> String {
        format!("/{}", percent_encode(&self.relative, ESCAPED))
    }

    /// The part of the last name after its last dot.
    pub(super) fn extension(&self) -> Option<&[u8]> {
        let name = self.relative.rsplit(|byte| *byte == b'/').next()?;
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        name.get(dot + 1..)
    }
}

fn decode(raw: &str) -> Result<Vec<u8>, BadPath> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(BadPath);
            (digit()? * 16 + digit()?) as u8
        } else {
            byte
        };
        if byte == 0 {
            return Err(BadPath);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        for (raw, plain) in [
            ("/", "/"),
            ("/a/b.html", "/a/b.html"),
            ("//a///b/", "/a/b/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/..%2f%61", "/a"),
            ("/a%20b%3f", "/a%20b%3F"),
            ("/%D0%B4", "/%D0%B4"),
        ] {
            assert_eq!(SitePath::parse(raw).map(|path| path.escaped()), Ok(plain.to_owned()), "{raw}");
        }
        for raw in ["", "*", "a", "/..", "/a/../..", "/%", "/%4", "/%zz", "/%+1", "/%00", "/%2e%2e/"] {
            assert_eq!(SitePath::parse(raw), Err(BadPath), "{raw}");
        }
    }

    #[test]
    fn dotted_names_are_hidden() {
        let is_hidden = |raw| SitePath::parse(raw).unwrap().is_hidden();
        assert!(["/.git/config", "/a/.env", "/a/.well-known/x", "/%2ehtaccess"].into_iter().all(is_hidden));
        assert!(!["/", "/a.b/c", "/.well-known/security.txt", "/a/./b"].into_iter().any(is_hidden));
    }

    #[test]
    fn extensions() {
        let extension = |raw| SitePath::parse(raw).unwrap().extension().map(<[u8]>::to_vec);
        assert_eq!(extension("/a.tar.gz"), Some(b"gz".to_vec()));
        assert_eq!(extension("/a.d/b"), None);
    }
}
