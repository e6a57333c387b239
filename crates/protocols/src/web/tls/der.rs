//! The little of DER (X.690) that certificates need: tag, length, value. Indefinite lengths and long tags are refused.

/// Universal tags.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
}

/// Reads one element after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Over the contents of a constructed element, or a whole message.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element: tag and contents.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, header, len) = self.header()?;
        let contents = self.0.get(header..header.checked_add(len)?)?;
        self.0 = &self.0[header + len..];
        Some((tag, contents))
    }

    /// The next element with its tag and length.
    pub(crate) fn next_whole(&mut self) -> Option<(u8, &'a [u8])> {
        let before = self.0;
        let (tag, contents) = self.next()?;
        let len = before.len() - self.0.len();
        debug_assert!(len >= contents.len());
        Some((tag, &before[..len]))
    }

    /// The contents of the next element, which must have this tag.
    #[inline]
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek()? != tag {
            return None;
        }
        self.next().map(|(_, contents)| contents)
    }

    /// The contents of the next element if it has this tag; else nothing is read.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.expect(tag)
    }

    /// Tag, length of the header, length of the contents.
    #[inline]
    fn header(&self) -> Option<(u8, usize, usize)> {
        let (tag, first) = (*self.0.first()?, *self.0.get(1)?);
        if tag & 0x1f == 0x1f {
            return None;
        }
        match first {
            0..=0x7f => Some((tag, 2, first.into())),
            0x81 => Some((tag, 3, usize::from(*self.0.get(2)?))),
            0x82 => Some((tag, 4, usize::from(u16::from_be_bytes([*self.0.get(2)?, *self.0.get(3)?])))),
            0x83 => {
                let [a, b, c] = [*self.0.get(2)?, *self.0.get(3)?, *self.0.get(4)?];
                Some((tag, 5, u32::from_be_bytes([0, a, b, c]) as usize))
            }
            _ => None,
        }
    }
}

/// An object identifier in dotted decimal; `None` if it is malformed.
pub(crate) fn oid_text(oid: &[u8]) -> Option<String> {
    use std::fmt::Write;
    let mut text = String::new();
    let mut value: u64 = 0;
    for byte in oid.iter().take(64) {
        if value >> 56 != 0 {
            return None;
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if text.is_empty() {
                let first = (value / 40).min(2);
                let _ = write!(text, "{first}.{}", value - first * 40);
            } else {
                let _ = write!(text, ".{value}");
            }
            value = 0;
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Seconds since 1970 of a UTCTime or GeneralizedTime in the form that RFC 5280 §4.1.2.5 asks for.
pub(crate) fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let number = |at: usize, digits: usize| {
        text.get(at..at + digits)?
            .iter()
            .try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let (year, rest) = match tag {
        tag::UTC_TIME => {
            let year = number(0, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        tag::GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let (month, day) = (number(rest, 2)?, number(rest + 2, 2)?);
    let (hour, minute) = (number(rest + 4, 2)?, number(rest + 6, 2)?);
    // Old certificates leave the seconds out.
    let second = number(rest + 8, 2).unwrap_or(0);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant's algorithm: years that begin in March).
pub(crate) const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date so many days after 1970-01-01: year, month, day.
pub(crate) fn date_since_1970(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn elements_are_read_in_order_and_never_past_the_end() {
        let bytes = hex("020101 30040201 05 0000");
        let mut der = Der::new(&bytes);
        assert_eq!(der.next(), Some((tag::INTEGER, &[1][..])));
        assert_eq!(der.expect(tag::INTEGER), None);
        assert_eq!(der.expect(tag::SEQUENCE).map(<[u8]>::len), Some(4));
        assert_eq!(der.next(), None);
        for bad in ["30", "3005 0201", "3080 0000", "1f8101 00", "3084ffffffff", "3083ffffff00"] {
            assert_eq!(Der::new(&hex(bad)).next(), None, "{bad}");
        }
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(time(tag::UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time(tag::UTC_TIME, b"240101000000Z"), Some(1_704_067_200));
        assert_eq!(time(tag::UTC_TIME, b"500101000000Z"), Some(-631_152_000));
        assert_eq!(
            time(tag::GENERALIZED_TIME, b"20500229000000Z"),
            time(tag::GENERALIZED_TIME, b"20500301000000Z")
        );
        assert_eq!(time(tag::GENERALIZED_TIME, b"99991231235959Z"), Some(253_402_300_799));
        assert_eq!(time(tag::UTC_TIME, b"241301000000Z"), None);
        assert_eq!(time(tag::UTC_TIME, b"2401"), None);
    }

    #[test]
    fn days_are_dates_and_dates_are_days() {
        for days in (-800_000..3_000_000).step_by(97).chain(-800..800) {
            let (year, month, day) = date_since_1970(days);
            assert_eq!(days_since_1970(year, month, day), days);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn object_identifiers_are_dotted() {
        assert_eq!(oid_text(&hex("2a864886f70d01010b")).as_deref(), Some("1.2.840.113549.1.1.11"));
        assert_eq!(oid_text(&hex("550403")).as_deref(), Some("2.5.4.3"));
        assert_eq!(oid_text(&hex("883703")).as_deref(), Some("2.999.3"));
        assert_eq!(oid_text(&[0xff; 12]), None);
    }
}
