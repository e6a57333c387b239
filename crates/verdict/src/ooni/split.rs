//! The measurements of a file: one JSON object, objects one after the other (JSON lines), or an array of them.

use std::io::{self, BufRead, Cursor, Read as _};

/// The longest measurement, in bytes. OONI's own are below 1 MB but for a few.
pub const MEASUREMENT_BYTES_MAX: usize = 32 << 20;
/// How deep objects and arrays may be nested.
pub const FILE_DEPTH_MAX: usize = 128;

/// One object of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, from `{` to `}`. In a file of lines, whatever stands on a line.
    pub json: Vec<u8>,
    /// The line it begins on, from 1.
    pub line: u64,
    /// The column it begins at, in bytes, from 1.
    pub column: u64,
}

/// Why a file can't be split any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// It can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no JSON.
    #[error(
        "line {line}, column {column}: `{found}` where a measurement should begin: the file must be a JSON object, an array of objects, or one object on each line"
    )]
    NoObject {
        /// The line, from 1.
        line: u64,
        /// The column, in bytes, from 1.
        column: u64,
        /// What is there.
        found: char,
    },
    /// A measurement is too long.
    #[error("line {line}: a measurement of more than {MEASUREMENT_BYTES_MAX} bytes")]
    TooLong {
        /// The line it begins on, from 1.
        line: u64,
    },
    /// Objects within objects within objects …
    #[error("line {line}: objects are nested more than {FILE_DEPTH_MAX} deep")]
    TooDeep {
        /// The line, from 1.
        line: u64,
    },
    /// The file ends within a measurement.
    #[error("line {line}: the file ends within the measurement that begins here")]
    CutOff {
        /// The line the measurement begins on, from 1.
        line: u64,
    },
}

/// Finds the objects of a file, one after the other. Holds one at a time.
#[derive(Debug)]
pub struct Splitter<R> {
    input: R,
    /// What was read already, but is still to be looked at.
    pending: Cursor<Vec<u8>>,
    line: u64,
    column: u64,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing was read yet.
    Begin,
    /// One object on each line: a line that is wrong costs only itself.
    Lines,
    /// Objects over several lines, or in an array.
    Objects,
    /// There is no more.
    Ended,
}

impl<R: BufRead> Splitter<R> {
    /// Of what `input` holds.
    pub fn new(input: R) -> Self {
        Self { input, pending: Cursor::default(), line: 1, column: 1, mode: Mode::Begin }
    }

    /// The next object; `None` at the end. After an error there is no more, but after a line that is too long.
    ///
    /// # Errors
    /// If the file can't be read, is no JSON, or is beyond a limit.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, SplitError> {
        let piece = match self.mode {
            Mode::Begin => self.first(),
            Mode::Lines => self.next_line(),
            Mode::Objects => self.next_object(),
            Mode::Ended => Ok(None),
        };
        let goes_on = match &piece {
            Ok(piece) => piece.is_some(),
            Err(SplitError::TooLong { .. }) => self.mode == Mode::Lines,
            Err(_) => false,
        };
        if !goes_on {
            self.mode = Mode::Ended;
        }
        piece
    }

    /// The first line tells which kind of file it is: a whole object, and nothing more, means lines.
    fn first(&mut self) -> Result<Option<Piece>, SplitError> {
        let (piece, is_whole_line) = loop {
            let Some((piece, is_whole_line)) = self.line()? else { return Ok(None) };
            if !piece.json.is_empty() {
                break (piece, is_whole_line);
            }
        };
        let is_object = piece.json.first() == Some(&b'{')
            && Scan::default().feed(&piece.json).is_ok_and(|end| end == Some(piece.json.len()));
        if is_object && is_whole_line {
            self.mode = Mode::Lines;
            return Ok(Some(piece));
        }
        self.mode = Mode::Objects;
        (self.line, self.column) = (piece.line, piece.column);
        let mut pending = piece.json;
        if is_whole_line {
            pending.push(b'\n');
        }
        self.pending = Cursor::new(pending);
        self.next_object()
    }

    /// The next line that isn't empty.
    fn next_line(&mut self) -> Result<Option<Piece>, SplitError> {
        loop {
            match self.line()? {
                None => return Ok(None),
                Some((piece, true)) if piece.json.is_empty() => {}
                Some((piece, true)) => return Ok(Some(piece)),
                Some((piece, false)) => {
                    self.skip_line()?;
                    return Err(SplitError::TooLong { line: piece.line });
                }
            }
        }
    }

    /// The next line, trimmed, and whether it is whole: it is not if it is too long.
    fn line(&mut self) -> Result<Option<(Piece, bool)>, SplitError> {
        let mut json = Vec::new();
        let line = self.line;
        if (&mut self.input).take(MEASUREMENT_BYTES_MAX as u64).read_until(b'\n', &mut json)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let is_whole = json.last() == Some(&b'\n') || json.len() < MEASUREMENT_BYTES_MAX;
        if is_whole {
            json.truncate(json.trim_ascii_end().len());
        }
        // A byte-order mark is no part of JSON, but editors leave it.
        let mark = if line == 1 && json.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let indent = json.len() - json.get(mark..).unwrap_or_default().trim_ascii_start().len();
        json.drain(..indent);
        Ok(Some((Piece { json, line, column: indent as u64 + 1 }, is_whole)))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.input.fill_buf()?;
            let end = memchr::memchr(b'\n', chunk);
            let taken = end.map_or(chunk.len(), |at| at + 1);
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                return Ok(());
            }
        }
    }

    fn next_object(&mut self) -> Result<Option<Piece>, SplitError> {
        let Some((line, column)) = self.find_object()? else { return Ok(None) };
        let mut json = Vec::new();
        let mut scan = Scan::default();
        loop {
            let line_now = self.line;
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Err(SplitError::CutOff { line });
            }
            let end = scan.feed(chunk).map_err(|TooDeep| SplitError::TooDeep { line: line_now })?;
            let taken = end.unwrap_or(chunk.len());
            json.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.consume(taken)?;
            if end.is_some() {
                return Ok(Some(Piece { json, line, column }));
            }
            if json.len() > MEASUREMENT_BYTES_MAX {
                return Err(SplitError::TooLong { line });
            }
        }
    }

    /// Goes to the next `{`, past white space, commas and the brackets of an array, and says where it stands.
    fn find_object(&mut self) -> Result<Option<(u64, u64)>, SplitError> {
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let is_between = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b'[' | b']');
            let at = chunk.iter().position(|byte| !is_between(byte));
            let found = at.and_then(|at| chunk.get(at)).copied();
            let taken = at.unwrap_or(chunk.len());
            self.consume(taken)?;
            let (line, column) = (self.line, self.column);
            match found {
                Some(b'{') => return Ok(Some((line, column))),
                Some(other) => return Err(SplitError::NoObject { line, column, found: other.into() }),
                None => {}
            }
        }
    }

    /// What comes next: of what is pending, or else of the input. Empty at the end.
    fn chunk(&mut self) -> io::Result<&[u8]> {
        if self.pending.fill_buf()?.is_empty() { self.input.fill_buf() } else { self.pending.fill_buf() }
    }

    /// Leaves bytes of the chunk behind, and counts their lines.
    fn consume(&mut self, len: usize) -> io::Result<()> {
        let taken = self.chunk()?.get(..len).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', taken).count() as u64;
        let column =
            memchr::memrchr(b'\n', taken).map_or(self.column + len as u64, |last| (len - last) as u64);
        (self.line, self.column) = (self.line + lines, column);
        if self.pending.fill_buf()?.is_empty() {
            self.input.consume(len);
        } else {
            self.pending.consume(len);
        }
        Ok(())
    }
}

/// Finds where an object ends that begins at the first byte: braces and brackets are counted outside of texts.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_text: bool,
    after_backslash: bool,
}

/// Beyond [`FILE_DEPTH_MAX`].
struct TooDeep;

impl Scan {
    /// The first byte after the object, if the object ends in these bytes.
    fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, TooDeep> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            if self.after_backslash {
                if rest.is_empty() {
                    return Ok(None);
                }
                self.after_backslash = false;
                at += 1;
                continue;
            }
            if self.in_text {
                let Some(next) = memchr::memchr2(b'"', b'\\', rest) else { return Ok(None) };
                at += next + 1;
                self.after_backslash = rest.get(next) == Some(&b'\\');
                self.in_text = self.after_backslash;
                continue;
            }
            let Some(next) = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))
            else {
                return Ok(None);
            };
            at += next + 1;
            match rest.get(next) {
                Some(b'"') => self.in_text = true,
                Some(b'{' | b'[') => {
                    self.depth += 1;
                    if self.depth > FILE_DEPTH_MAX {
                        return Err(TooDeep);
                    }
                }
                _ => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Ok(Some(at));
                    }
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn split(text: &str) -> (Vec<(String, u64, u64)>, Option<String>) {
        // A small buffer, so that every way of being cut is met.
        let mut splitter = Splitter::new(BufReader::with_capacity(3, text.as_bytes()));
        let mut pieces = Vec::new();
        loop {
            match splitter.next_piece() {
                Ok(Some(piece)) => {
                    pieces.push((String::from_utf8(piece.json).unwrap(), piece.line, piece.column));
                }
                Ok(None) => return (pieces, None),
                Err(error) => return (pieces, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn lines_are_pieces() {
        let (pieces, error) = split("{\"a\":1}\n\n  {\"b\":\"}\"}\r\nnonsense\n{}");
        let texts: Vec<_> =
            pieces.iter().map(|(text, line, column)| (text.as_str(), *line, *column)).collect();
        assert_eq!(texts, [("{\"a\":1}", 1, 1), ("{\"b\":\"}\"}", 3, 3), ("nonsense", 4, 1), ("{}", 5, 1)]);
        assert_eq!(error, None);
    }

    #[test]
    fn an_object_over_several_lines_is_one_piece() {
        let text = "\n{\n \"a\": \"\\\"}\\\\\",\n \"b\": [1]\n}\n";
        let (pieces, error) = split(text);
        assert_eq!(pieces, [(text.trim().to_owned(), 2, 1)]);
        assert_eq!(error, None);
    }

    #[test]
    fn an_array_is_its_objects() {
        let (pieces, error) = split("[{\"a\":1},\n {\"b\":{}}]");
        assert_eq!(pieces, [("{\"a\":1}".into(), 1, 2), ("{\"b\":{}}".into(), 2, 2)]);
        assert_eq!(error, None);
        assert_eq!(split("[]"), (Vec::new(), None));
        assert_eq!(split(""), (Vec::new(), None));
    }

    #[test]
    fn what_is_no_object_is_told_with_its_place() {
        let error = split("[{},\n  7]").1.unwrap();
        assert!(error.starts_with("line 2, column 3: `7` where"), "{error}");
        assert_eq!(
            split("{\n\"a\":").1.unwrap(),
            "line 1: the file ends within the measurement that begins here"
        );
        let deep = split(&format!("{{\n\"a\":{}", "[".repeat(200))).1.unwrap();
        assert!(deep.starts_with("line 2: objects are nested"), "{deep}");
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let long = format!("{{}}\n{{\"a\":\"{}\"}}\n{{\"b\":2}}\n", "x".repeat(MEASUREMENT_BYTES_MAX));
        let mut splitter = Splitter::new(long.as_bytes());
        assert_eq!(splitter.next_piece().unwrap().unwrap().json, b"{}");
        assert!(matches!(splitter.next_piece(), Err(SplitError::TooLong { line: 2 })));
        assert_eq!(splitter.next_piece().unwrap().unwrap().json, b"{\"b\":2}");
        assert_eq!(splitter.next_piece().unwrap(), None);
    }
}
