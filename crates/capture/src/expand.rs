//! What a user gave, as paths: files, directories, and patterns that no shell expanded.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use daylight_packet::SourceError;

/// The names that captures have in a directory.
const EXTENSIONS: [&str; 4] = ["pcap", "pcapng", "cap", "dmp"];

/// The captures that `patterns` mean, each pattern's sorted by name: a file (or `-`) is itself; a directory is the
/// files in it that are named like captures (`.pcap`, `.pcapng`, `.cap`, `.dmp`, also with `.gz` or `.zst`), not those in
/// directories below; in anything else `*`, `?` and `[a-z]` stand for any characters, one, and one of a set, within a name.
///
/// # Errors
/// If something does not exist, a pattern matches nothing, or a directory has no captures or can't be read.
pub fn expand<P: AsRef<OsStr>>(patterns: &[P]) -> Result<Vec<PathBuf>, SourceError> {
    let mut paths = Vec::new();
    for pattern in patterns {
        let path = Path::new(pattern);
        let shown = path.display();
        if path.as_os_str() == "-" {
            paths.push(path.to_owned());
        } else if path.is_dir() {
            let mut found = entries(path)?;
            found.retain(|name| is_named_like_a_capture(name));
            if found.is_empty() {
                return Err(error(format!("{shown}: no captures in this directory")));
            }
            paths.extend(found.into_iter().map(|name| path.join(name)).filter(|path| !path.is_dir()));
        } else if path.exists() || !is_pattern(&path.to_string_lossy()) {
            // That it exists is for whoever opens it to find out: the answer is better there.
            paths.push(path.to_owned());
        } else {
            let found = matches(path)?;
            if found.is_empty() {
                return Err(error(format!("{shown}: no file matches this pattern")));
            }
            paths.extend(found);
        }
    }
    Ok(paths)
}

fn error(message: String) -> SourceError {
    SourceError { message, cause: None }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The names in a directory, sorted.
fn entries(directory: &Path) -> Result<Vec<String>, SourceError> {
    let read = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            // A name that is not UTF-8 can still be given as it is.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    };
    read().map_err(|cause| SourceError {
        message: format!("{}: can't be read: {cause}", directory.display()),
        cause: Some(cause),
    })
}

fn is_named_like_a_capture(name: &str) -> bool {
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    !name.starts_with('.') && EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The paths that a pattern matches, component by component.
fn matches(pattern: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let mut next = Vec::new();
        for path in paths {
            match component {
                Component::Normal(name) if is_pattern(&name.to_string_lossy()) => {
                    let directory = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
                    if !directory.is_dir() {
                        continue;
                    }
                    let pattern: Vec<char> = name.to_string_lossy().chars().collect();
                    let names = entries(directory)?;
                    let fitting = names.iter().filter(|name| {
                        (!name.starts_with('.') || pattern.first() == Some(&'.'))
                            && fits(&pattern, &name.chars().collect::<Vec<_>>())
                    });
                    next.extend(fitting.map(|name| path.join(name)));
                }
                _ => next.push(path.join(component)),
            }
        }
        paths = next;
    }
    paths.retain(|path| path.exists() && !path.is_dir());
    Ok(paths)
}

/// True if `name` fits `pattern`. Goes back only to the last `*`: no more than their lengths' product.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut name_at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while name_at < name.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, name_at));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set(&pattern[at..], name[name_at]),
            Some(character) if *character == name[name_at] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                at += step;
                name_at += 1;
            }
            (None, Some((after, from))) => {
                at = after;
                name_at = from + 1;
                star = Some((after, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// If `character` is in the set at the start of `pattern`: how long the set is written. A `[` without `]` is itself.
fn set(pattern: &[char], character: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    // A `]` at the start belongs to the set.
    let Some(len) = pattern.iter().skip(first + 1).position(|c| *c == ']').map(|len| len + 1) else {
        return (character == '[').then_some(1);
    };
    let members = &pattern[first..first + len];
    let mut found = false;
    let mut index = 0;
    while index < members.len() {
        if let [from, '-', to, ..] = members[index..] {
            found |= (from..=to).contains(&character);
            index += 3;
        } else {
            found |= members[index] == character;
            index += 1;
        }
    }
    (found != negated).then_some(first + len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let fits = |pattern: &str, name: &str| {
            fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name) in [
            ("*.pcap", "a.pcap"),
            ("*", ""),
            ("a*b*c", "axxbxbc"),
            ("?.pcap", "x.pcap"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("[]]x", "]x"),
            ("[x", "[x"),
            ("**a", "bba"),
            ("a[-z]", "a-"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.pcap", "a.pcapng"), ("?", ""), ("[a-c]x", "dx"), ("[!a]x", "ax"), ("a*b", "ac"), ("", "a")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn files_directories_and_patterns() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("sub.pcap")).unwrap();
        for name in ["b.pcap", "a.pcap", "c.pcapng.gz", "notes.txt", ".hidden.pcap", "sub.pcap/d.cap"] {
            std::fs::write(root.join(name), b"").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = expand(&[root.join(pattern)]).unwrap();
            found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(names("*.pcap"), ["a.pcap", "b.pcap"]);
        assert_eq!(names(""), ["a.pcap", "b.pcap", "c.pcapng.gz"]);
        assert_eq!(names("*/*.cap"), ["sub.pcap/d.cap"]);
        assert_eq!(names("missing.pcap"), ["missing.pcap"]);
        assert_eq!(expand(&["-"]).unwrap(), [PathBuf::from("-")]);
        let nothing = expand(&[root.join("*.xyz")]).unwrap_err();
        assert!(nothing.message.ends_with("no file matches this pattern"), "{nothing}");
        std::fs::create_dir(root.join("empty")).unwrap();
        let empty = expand(&[root.join("empty")]).unwrap_err();
        assert!(empty.message.ends_with("no captures in this directory"), "{empty}");
    }
}
