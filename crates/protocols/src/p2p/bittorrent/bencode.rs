//! Bencoding (BEP 3): `d…e` dictionaries, `l…e` lists, `i42e` numbers, `4:spam` strings. Read without allocating.

use crate::cursor::Cursor;

/// Nesting deeper than this is not followed.
const DEPTH_MAX: u8 = 8;

/// One value, borrowed. Dictionaries and lists keep their inside, without `d` or `l` and `e`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Str(&'a [u8]),
    List(&'a [u8]),
    Dict(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The value that `bytes` start with, and how long it is. `None` if it is broken anywhere.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut c = Cursor::new(bytes);
        let value = read(&mut c, 0)?;
        Some((value, c.position()))
    }

    /// The value of a key, if this is a dictionary that has it.
    pub(super) fn get(&self, key: &[u8]) -> Option<Self> {
        let Value::Dict(inside) = self else { return None };
        let mut c = Cursor::new(inside);
        while !c.is_empty() {
            let Value::Str(name) = read(&mut c, DEPTH_MAX)? else { return None };
            let value = read(&mut c, 1)?;
            if name == key {
                return Some(value);
            }
        }
        None
    }

    /// The bytes, if this is a string.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Str(bytes) => Some(bytes),
            _ => None,
        }
    }
}

fn read<'a>(c: &mut Cursor<'a>, depth: u8) -> Option<Value<'a>> {
    match c.peek()? {
        b'i' => {
            c.skip(1)?;
            Some(Value::Int(number(c, b'e', true)?))
        }
        kind @ (b'l' | b'd') if depth < DEPTH_MAX => {
            c.skip(1)?;
            let inside = c.rest();
            let start = c.position();
            while c.peek()? != b'e' {
                if kind == b'd' && !c.peek()?.is_ascii_digit() {
                    return None;
                }
                read(c, depth + 1)?;
                if kind == b'd' {
                    read(c, depth + 1)?;
                }
            }
            let inside = inside.get(..c.position() - start)?;
            c.skip(1)?;
            Some(if kind == b'l' { Value::List(inside) } else { Value::Dict(inside) })
        }
        b'0'..=b'9' => {
            let len = usize::try_from(number(c, b':', false)?).ok()?;
            Some(Value::Str(c.take(len)?))
        }
        _ => None,
    }
}

fn number(c: &mut Cursor<'_>, end: u8, signed: bool) -> Option<i64> {
    let rest = c.rest();
    let len = rest.iter().take(21).position(|b| *b == end)?;
    let text = std::str::from_utf8(&rest[..len]).ok()?;
    if !signed && !text.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('+') {
        return None;
    }
    let number = text.parse().ok()?;
    c.skip(len + 1)?;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_ends() {
        let text = b"d1:ai-7e1:bl4:spam0:e1:cd1:xi1eee tail";
        let (value, len) = Value::parse(text).unwrap();
        assert_eq!(len, text.len() - 5);
        assert_eq!(value.get(b"a"), Some(Value::Int(-7)));
        assert_eq!(value.get(b"b"), Some(Value::List(b"4:spam0:")));
        assert_eq!(value.get(b"c").unwrap().get(b"x"), Some(Value::Int(1)));
        assert_eq!(value.get(b"z"), None);
    }

    #[test]
    fn broken_values_are_refused() {
        let deep = [[b'l'; 40], [b'e'; 40]].concat();
        for text in [
            &b""[..],
            b"d",
            b"di1e1:ae",
            b"5:four",
            b"-1:a",
            b"i12",
            b"99999999999999999999999:a",
            b"d1:ae",
            &deep,
        ] {
            assert_eq!(Value::parse(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
