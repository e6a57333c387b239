//! Room for a text that is made during evaluation, on the stack unless it is long.

use std::fmt;

/// Bytes that fit without allocation.
const INLINE: usize = 256;

/// A byte string under construction: [`INLINE`] bytes on the stack, more on the heap.
pub(crate) struct Buf {
    inline: [u8; INLINE],
    len: usize,
    spilled: Vec<u8>,
}

impl Buf {
    pub(crate) fn new() -> Self {
        Self { inline: [0; INLINE], len: 0, spilled: Vec::new() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.inline.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if self.spilled.is_empty() => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => {
                if self.spilled.is_empty() {
                    self.spilled.extend_from_slice(&self.inline[..self.len]);
                }
                self.spilled.extend_from_slice(bytes);
            }
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.spilled.is_empty() { &self.inline[..self.len] } else { &self.spilled }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if self.spilled.is_empty() { &mut self.inline[..self.len] } else { &mut self.spilled }
    }
}

impl fmt::Write for Buf {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spills_once_and_keeps_the_order() {
        let mut buf = Buf::new();
        let mut all = Vec::new();
        for i in 0..100u8 {
            buf.push(&[i; 7]);
            all.extend_from_slice(&[i; 7]);
            assert_eq!(buf.bytes(), all);
        }
        let mut buf = Buf::new();
        buf.push(&[1; INLINE]);
        assert!(buf.spilled.is_empty());
        assert_eq!(buf.bytes().len(), INLINE);
    }
}
