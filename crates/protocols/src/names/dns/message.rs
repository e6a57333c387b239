//! The DNS message format (RFC 1035 §4): a reader in one pass that allocates nothing. mDNS, LLMNR and the NetBIOS name
//! service speak it too.
//!
//! Every name is checked once, where it is read: its labels lie within the message, its compression pointers lead
//! strictly backwards (so that no loop is possible), and it is no longer than 255 bytes. What comes out can then be
//! walked without further doubts.

use crate::cursor::Cursor;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 12;
/// The longest name on the wire (RFC 1035 §2.3.4), with the root's byte.
pub const NAME_BYTES_MAX: usize = 255;
/// Records that are looked at in one message. The smallest takes 11 bytes: 64 KiB hold 5,956.
pub const RECORDS_MAX: usize = 6000;

/// The first twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Pairs a response with its query.
    pub id: u16,
    /// The second word, as it is.
    pub flags: u16,
    /// Questions; records in the answer, authority and additional sections.
    pub counts: [u16; 4],
}

impl Header {
    /// Reads it. `None` if the message is shorter.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut c = Cursor::new(message);
        Some(Self { id: c.u16()?, flags: c.u16()?, counts: [c.u16()?, c.u16()?, c.u16()?, c.u16()?] })
    }

    fn bit(&self, bit: u16) -> bool {
        self.flags >> bit & 1 == 1
    }

    /// QR.
    pub fn is_response(&self) -> bool {
        self.bit(15)
    }

    /// 0 is a query, 4 a notify, 5 an update.
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }

    /// AA: the answer is authoritative.
    pub fn authoritative(&self) -> bool {
        self.bit(10)
    }

    /// TC: the message was cut short.
    pub fn truncated(&self) -> bool {
        self.bit(9)
    }

    /// RD: recursion is desired.
    pub fn recursion_desired(&self) -> bool {
        self.bit(8)
    }

    /// RA: recursion is available.
    pub fn recursion_available(&self) -> bool {
        self.bit(7)
    }

    /// The three bits that RFC 1035 reserves. The lower two became AD and CD.
    pub fn z(&self) -> u8 {
        (self.flags >> 4 & 7) as u8
    }

    /// AD: the data was validated (RFC 4035).
    pub fn authentic_data(&self) -> bool {
        self.bit(5)
    }

    /// CD: validation is not wanted (RFC 4035).
    pub fn checking_disabled(&self) -> bool {
        self.bit(4)
    }

    /// The lower four bits of the response code.
    pub fn rcode(&self) -> u8 {
        (self.flags & 15) as u8
    }
}

/// Why a message cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It ends too early. The capture may have cut it.
    Short,
    /// It breaks the format at this offset.
    Bad(usize),
}

/// A name that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    message: &'a [u8],
    /// Where its first label stands: not where a pointer to it does.
    at: usize,
    /// Bytes on the wire without compression, with the root's.
    length: usize,
}

impl<'a> Name<'a> {
    /// Checks the name at `at`, and says where what follows it begins.
    ///
    /// # Errors
    /// If it runs past the message, has a pointer that does not lead strictly backwards, a label of an unknown kind,
    /// or more than 255 bytes.
    pub fn read(message: &'a [u8], at: usize) -> Result<(Self, usize), Trouble> {
        let (mut start, mut pos, mut end, mut length, mut floor) = (at, at, None, 1, at);
        loop {
            let n = usize::from(*message.get(pos).ok_or(Trouble::Short)?);
            match n & 0xc0 {
                0 if n == 0 => return Ok((Self { message, at: start, length }, end.unwrap_or(pos + 1))),
                0 => {
                    length += n + 1;
                    if length > NAME_BYTES_MAX {
                        return Err(Trouble::Bad(pos));
                    }
                    if message.len() < pos + 1 + n {
                        return Err(Trouble::Short);
                    }
                    pos += n + 1;
                }
                0xc0 => {
                    let low = usize::from(*message.get(pos + 1).ok_or(Trouble::Short)?);
                    let target = (n & 0x3f) << 8 | low;
                    // A pointer leads to before the run of labels that it ends: every hop goes further back.
                    if target >= floor || target < HEADER_BYTES {
                        return Err(Trouble::Bad(pos));
                    }
                    end.get_or_insert(pos + 2);
                    if pos == start {
                        start = target;
                    }
                    (floor, pos) = (target, target);
                }
                _ => return Err(Trouble::Bad(pos)),
            }
        }
    }

    /// The labels, the host's first, without the root.
    pub fn labels(&self) -> Labels<'a> {
        Labels { message: self.message, at: self.at }
    }

    /// Where its first label stands in the message; pointers to one another's names share it.
    pub fn position(&self) -> usize {
        self.at
    }

    /// True for the root, which has no labels.
    pub fn is_root(&self) -> bool {
        self.length == 1
    }

    /// The presentation form without the trailing dot; dots and backslashes within labels are escaped (RFC 1035
    /// §5.1), and what is not UTF-8 is replaced. The root is `.`.
    pub fn text(&self) -> String {
        // As many dots as bytes of length, but for the first and the root's. Escapes are rare.
        let mut text = Vec::with_capacity(self.length.saturating_sub(2).max(1));
        for label in self.labels() {
            if !text.is_empty() {
                text.push(b'.');
            }
            if label.iter().any(|b| matches!(b, b'.' | b'\\')) {
                for b in label {
                    if matches!(b, b'.' | b'\\') {
                        text.push(b'\\');
                    }
                    text.push(*b);
                }
            } else {
                text.extend_from_slice(label);
            }
        }
        if text.is_empty() {
            text.push(b'.');
        }
        String::from_utf8(text).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// [`text`](Self::text) in lower case.
    pub fn lower(&self) -> String {
        let mut text = self.text();
        text.make_ascii_lowercase();
        text
    }

    /// A number that equal names (whatever their case) share, and others hardly do: FNV-1a. The bit that tells the
    /// cases of letters apart is left out; the few other bytes that differ in it alone are hardly met in one name.
    pub fn hash(&self) -> u32 {
        let mut hash = 0x811c_9dc5u32;
        let mut add = |b: u8| hash = (hash ^ u32::from(b)).wrapping_mul(0x0100_0193);
        for label in self.labels() {
            add(label.len() as u8);
            label.iter().for_each(|b| add(b | 0x20));
        }
        hash
    }
}

/// Walks a name's labels.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // `Name::read` has seen that this ends and stays inside; `get` costs nothing more than indexing.
        loop {
            let n = usize::from(*self.message.get(self.at)?);
            if n & 0xc0 == 0xc0 {
                self.at = (n & 0x3f) << 8 | usize::from(*self.message.get(self.at + 1)?);
                continue;
            }
            let label = self.message.get(self.at + 1..self.at + 1 + n)?;
            self.at += 1 + n;
            return if n == 0 { None } else { Some(label) };
        }
    }
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked about.
    pub name: Name<'a>,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS. In mDNS its highest bit asks for a unicast answer.
    pub qclass: u16,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the sections of RFC 1035 §4.1
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// A resource record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Whose it is.
    pub name: Name<'a>,
    /// TYPE.
    pub rtype: u16,
    /// CLASS.
    pub class: u16,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// The whole message, for the names in the data.
    pub message: &'a [u8],
    /// Where the data starts in it.
    pub rdata_at: usize,
    /// The data.
    pub rdata: &'a [u8],
}

/// Reads a message from after its header on.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    /// The name that was read last.
    last: Option<Name<'a>>,
}

impl<'a> Reader<'a> {
    /// Starts after the header.
    pub fn new(message: &'a [u8]) -> Self {
        Self::at(message, HEADER_BYTES)
    }

    /// Starts at an offset.
    pub fn at(message: &'a [u8], at: usize) -> Self {
        Self { message, at, last: None }
    }

    /// The offset of what comes next.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next name, and where what follows it begins.
    fn name(&mut self) -> Result<(Name<'a>, usize), Trouble> {
        // Most records are about the name before: a pointer to what was just checked.
        if let Some(last) = self.last
            && let Some([high, low]) = self.message.get(self.at..).and_then(<[u8]>::first_chunk)
            && u16::from_be_bytes([*high, *low]) == 0xc000 | last.at as u16
            && (HEADER_BYTES..0x4000).contains(&last.at)
        {
            return Ok((last, self.at + 2));
        }
        let (name, end) = Name::read(self.message, self.at)?;
        self.last = Some(name);
        Ok((name, end))
    }

    /// The next question.
    ///
    /// # Errors
    /// As for [`Name::read`].
    pub fn question(&mut self) -> Result<Question<'a>, Trouble> {
        let (name, end) = self.name()?;
        let mut c = Cursor::new(self.message.get(end..).unwrap_or_default());
        let (Some(qtype), Some(qclass)) = (c.u16(), c.u16()) else { return Err(Trouble::Short) };
        self.at = end + 4;
        Ok(Question { name, qtype, qclass })
    }

    /// The next record.
    ///
    /// # Errors
    /// As for [`Name::read`]; or if the data is longer than what is left.
    pub fn record(&mut self) -> Result<Record<'a>, Trouble> {
        let (name, end) = self.name()?;
        let fixed = self.message.get(end..).and_then(<[u8]>::first_chunk);
        let [t0, t1, c0, c1, s0, s1, s2, s3, l0, l1] = *fixed.ok_or(Trouble::Short)?;
        let rdata_at = end + 10;
        let rdata = self.message.get(rdata_at..).unwrap_or_default();
        let rdata = rdata.get(..u16::from_be_bytes([l0, l1]).into()).ok_or(Trouble::Short)?;
        self.at = rdata_at + rdata.len();
        Ok(Record {
            name,
            rtype: u16::from_be_bytes([t0, t1]),
            class: u16::from_be_bytes([c0, c1]),
            ttl: u32::from_be_bytes([s0, s1, s2, s3]),
            message: self.message,
            rdata_at,
            rdata,
        })
    }
}

/// Reads a message from end to end and says where it ends.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn walk(message: &[u8]) -> Result<usize, Trouble> {
    let header = Header::read(message).ok_or(Trouble::Short)?;
    let mut reader = Reader::new(message);
    for _ in 0..header.counts[0] {
        reader.question()?;
    }
    let records = header.counts[1..].iter().map(|n| usize::from(*n)).sum::<usize>();
    if records > RECORDS_MAX {
        return Err(Trouble::Bad(6));
    }
    for _ in 0..records {
        reader.record()?;
    }
    Ok(reader.position())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// RFC 1035 §4.1.4: F.ISI.ARPA at 20, FOO.F.ISI.ARPA at 40 with a pointer, ARPA at 64 as a pointer, the root at 92.
    fn rfc_names() -> Vec<u8> {
        let mut m = vec![0xff; 96];
        m[20..32].copy_from_slice(b"\x01F\x03ISI\x04ARPA\0");
        m[40..46].copy_from_slice(b"\x03FOO\xc0\x14");
        m[64..66].copy_from_slice(&[0xc0, 26]);
        m[92] = 0;
        m
    }

    #[test]
    fn names_of_the_rfc() {
        let m = rfc_names();
        for (at, text, next) in
            [(20, "F.ISI.ARPA", 32), (40, "FOO.F.ISI.ARPA", 46), (64, "ARPA", 66), (92, ".", 93)]
        {
            let (name, end) = Name::read(&m, at).unwrap();
            assert_eq!((name.text().as_str(), end), (text, next));
        }
        assert!(Name::read(&m, 92).unwrap().0.is_root());
    }

    #[test]
    fn loops_and_forward_pointers_are_refused() {
        let mut m = vec![0; 40];
        m[20..22].copy_from_slice(&[0xc0, 20]); // to itself
        assert_eq!(Name::read(&m, 20).unwrap_err(), Trouble::Bad(20));
        m[22..24].copy_from_slice(&[0xc0, 24]); // ahead
        assert_eq!(Name::read(&m, 22).unwrap_err(), Trouble::Bad(22));
        m[20..24].copy_from_slice(b"\x01a\xc0\x14"); // back into its own labels
        assert_eq!(Name::read(&m, 20).unwrap_err(), Trouble::Bad(22));
        m[20..22].copy_from_slice(&[0xc0, 2]); // into the header
        assert_eq!(Name::read(&m, 20).unwrap_err(), Trouble::Bad(20));
        m[20] = 0x80; // neither a label nor a pointer
        assert_eq!(Name::read(&m, 20).unwrap_err(), Trouble::Bad(20));
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        let label = |n: usize| [vec![n as u8], vec![b'x'; n]].concat();
        let mut m = vec![0; 12];
        m.extend([label(63), label(63), label(63), label(61)].concat());
        m.push(0);
        assert!(Name::read(&m, 12).is_ok());
        let mut m = vec![0; 12];
        m.extend([label(63), label(63), label(63), label(62)].concat());
        m.push(0);
        assert!(matches!(Name::read(&m, 12), Err(Trouble::Bad(_))));
    }

    #[test]
    fn dots_within_labels_are_escaped() {
        let m = b"\0\0\0\0\0\0\0\0\0\0\0\0\x04v1.0\x05local\0";
        assert_eq!(Name::read(m, 12).unwrap().0.text(), "v1\\.0.local");
    }

    #[test]
    fn names_that_differ_in_case_share_a_hash() {
        let m = b"\0\0\0\0\0\0\0\0\0\0\0\0\x01a\x02bc\0\x01A\x02bC\0\x02ab\x01c\0";
        let hash = |at| Name::read(m, at).unwrap().0.hash();
        assert_eq!(hash(12), hash(18));
        assert_ne!(hash(12), hash(24));
    }

    #[test]
    fn a_message_is_walked_to_its_end() {
        // A query for a.bc; its answer 192.0.2.1.
        let m = hex(
            "0001 8180 0001 0001 0000 0000 0161 026263 00 0001 0001 c00c 0001 0001 00000e10 0004 c0000201",
        );
        assert_eq!(walk(&m), Ok(m.len()));
        for n in 0..m.len() {
            assert_eq!(walk(&m[..n]), Err(Trouble::Short), "{n} bytes");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_or_hangs(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0usize..300) {
            let _ = walk(&bytes);
            if let Ok((name, _)) = Name::read(&bytes, at) {
                proptest::prop_assert!(name.labels().map(|l| l.len() + 1).sum::<usize>() < NAME_BYTES_MAX);
                let _ = name.lower();
            }
        }
    }
}
