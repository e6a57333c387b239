//! Asks a row. No allocation, but for texts of more than 256 bytes that `lower`, `upper` or a slice of several parts
//! make, and for what the regular expressions' automata keep between calls.

use std::cmp::Ordering;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ast::{ArithmeticOp, SliceEnd, SliceRange};
use crate::buf::Buf;
use crate::literal::Number;
use crate::program::{ACCEPT, Check, Operand, Relation, Test};
use crate::{Kind, Program, Row, ValueRef, time};

/// A value during evaluation: truth values and times are whole numbers, text is bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Val<'a> {
    Int(i128),
    Float(f64),
    Octets(&'a [u8]),
    Ip(IpAddr),
}

impl<'a> From<ValueRef<'a>> for Val<'a> {
    #[inline]
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Bool(b) => Self::Int(b.into()),
            ValueRef::Uint(n) => Self::Int(n.into()),
            ValueRef::Time(t) => Self::Int(t.into()),
            ValueRef::Float(x) => Self::Float(x),
            ValueRef::Str(text) => Self::Octets(text.as_bytes()),
            ValueRef::Bytes(bytes) => Self::Octets(bytes),
            ValueRef::Ip(address) => Self::Ip(address),
        }
    }
}

/// What is called with each value; it returns true to stop.
type Visit<'v> = &'v mut dyn FnMut(Val<'_>) -> bool;

impl Program {
    /// True if the row fits. Asks for a field only when a test of it is reached.
    pub fn matches<R: Row>(&self, row: &R) -> bool {
        let mut at = self.entry;
        let mut registers = 0_u64;
        // Steps go on further down only, so this ends.
        while let Some(step) = self.steps.get(at as usize) {
            let holds = match &step.test {
                Test::Field { field, check, negate, all: false } => {
                    row.values(*field).any(|value| check.fits(value) != *negate)
                }
                Test::Exists(field) => row.values(*field).next().is_some(),
                test => self.holds(test, row, &mut registers),
            };
            at = if holds { step.then } else { step.otherwise };
        }
        at == ACCEPT
    }

    /// The tests that are less frequent than those above, so that their code is out of the way.
    #[inline(never)]
    pub(crate) fn holds<R: Row>(&self, test: &Test, row: &R, registers: &mut u64) -> bool {
        match test {
            Test::Field { field, check, negate, .. } => {
                let mut values = row.values(*field);
                let fits = |value: ValueRef<'_>| check.fits(value) != *negate;
                values.next().is_some_and(|first| fits(first) && values.all(fits))
            }
            Test::Exists(field) => row.values(*field).next().is_some(),
            Test::Operand { operand, check, negate, all } => quantify(
                *all,
                |visit| self.each(*operand, row, visit),
                |value| check.fits_value(value) != *negate,
            ),
            Test::Pair { relation, left, right, negate, all } => quantify(
                *all,
                |visit| self.each(*left, row, visit),
                |a| {
                    quantify(*all, |visit| self.each(*right, row, visit), |b| relation.holds(a, b) != *negate)
                },
            ),
            Test::Present(of) => self.each(*of, row, &mut |value| matches!(value, Val::Octets([_, ..]))),
            Test::NonZero(of) => self.each(*of, row, &mut |value| match value {
                Val::Int(n) => n != 0,
                Val::Float(x) => x != 0.0,
                Val::Octets(bytes) => bytes.iter().any(|byte| *byte != 0),
                Val::Ip(_) => true,
            }),
            Test::Set(register, true) => {
                *registers |= 1 << (register & 63);
                true
            }
            Test::Set(register, false) => {
                *registers &= !(1 << (register & 63));
                true
            }
            Test::Flip(register) => {
                *registers ^= 1 << (register & 63);
                true
            }
            Test::Bit(register) => *registers >> (register & 63) & 1 == 1,
        }
    }

    /// Calls `visit` with each value of an operand until it returns true; returns whether it did.
    pub(crate) fn each<R: Row>(&self, operand: u32, row: &R, visit: Visit<'_>) -> bool {
        let Some(operand) = self.operands.get(operand as usize) else { return false };
        match operand {
            Operand::Field(field) => row.values(*field).any(|value| visit(value.into())),
            Operand::Int(n) => visit(Val::Int(*n)),
            Operand::Float(x) => visit(Val::Float(*x)),
            Operand::Octets(bytes) => visit(Val::Octets(bytes)),
            Operand::Lower(of) => {
                self.each(*of, row, &mut |value| changed(value, visit, <[u8]>::make_ascii_lowercase))
            }
            Operand::Upper(of) => {
                self.each(*of, row, &mut |value| changed(value, visit, <[u8]>::make_ascii_uppercase))
            }
            Operand::Len(of) => self.each(*of, row, &mut |value| match value {
                Val::Octets(bytes) => visit(Val::Int(bytes.len() as i128)),
                _ => false,
            }),
            Operand::Count(field) => {
                let count = row.values(*field).count();
                count > 0 && visit(Val::Int(count as i128))
            }
            Operand::Text(of, kind) => self.each(*of, row, &mut |value| {
                let mut buf = Buf::new();
                // Writing to memory doesn't fail.
                let _ = match value {
                    Val::Int(n) if *kind == Kind::Bool => write!(buf, "{}", n != 0),
                    Val::Int(n) if *kind == Kind::Time => {
                        i64::try_from(n).map_or(Ok(()), |t| time::write(t, &mut buf))
                    }
                    Val::Int(n) => write!(buf, "{n}"),
                    Val::Float(x) => write!(buf, "{x}"),
                    Val::Ip(address) => write!(buf, "{address}"),
                    Val::Octets(bytes) => bytes.iter().try_for_each(|byte| write!(buf, "{byte:02x}")),
                };
                visit(Val::Octets(buf.bytes()))
            }),
            Operand::Extreme { greatest, of } => {
                let wanted = if *greatest { Ordering::Greater } else { Ordering::Less };
                let mut best: Option<Number> = None;
                for operand in of {
                    let mut seen = false;
                    self.each(*operand, row, &mut |value| {
                        if let Some(number) = Number::of(value) {
                            seen = true;
                            if best.is_none_or(|best| number.compare(best) == Some(wanted)) {
                                best = Some(number);
                            }
                        }
                        false
                    });
                    // As everywhere, what is absent has no result.
                    if !seen {
                        return false;
                    }
                }
                best.is_some_and(|number| visit(number.val()))
            }
            Operand::Abs(of) => self.each(*of, row, &mut |value| match value {
                Val::Int(n) => n.checked_abs().is_some_and(|n| visit(Val::Int(n))),
                Val::Float(x) => visit(Val::Float(x.abs())),
                _ => false,
            }),
            Operand::Negative(of) => self.each(*of, row, &mut |value| match value {
                Val::Int(n) => n.checked_neg().is_some_and(|n| visit(Val::Int(n))),
                Val::Float(x) => visit(Val::Float(-x)),
                _ => false,
            }),
            Operand::Arithmetic(op, left, right) => self.each(*left, row, &mut |a| {
                self.each(*right, row, &mut |b| match (a, b) {
                    (Val::Octets(a), Val::Octets(b)) => {
                        let mut buf = Buf::new();
                        buf.push(a);
                        buf.bytes_mut().iter_mut().zip(b).for_each(|(a, b)| *a &= b);
                        a.len() == b.len() && visit(Val::Octets(buf.bytes()))
                    }
                    _ => match (Number::of(a), Number::of(b)) {
                        (Some(a), Some(b)) => a.calculate(*op, b).is_some_and(|number| visit(number.val())),
                        _ => false,
                    },
                })
            }),
            Operand::Since(later, earlier) => self.each(*later, row, &mut |a| {
                self.each(*earlier, row, &mut |b| match (a, b) {
                    (Val::Int(a), Val::Int(b)) => visit(Val::Float((a - b) as f64 / 1e9)),
                    _ => false,
                })
            }),
            Operand::Shift { time, seconds, earlier } => self.each(*time, row, &mut |t| {
                self.each(*seconds, row, &mut |by| {
                    let ns = match by {
                        Val::Int(s) => s.checked_mul(1_000_000_000),
                        Val::Float(s) if s.is_finite() => Some((s * 1e9).round() as i128),
                        _ => None,
                    };
                    let (Val::Int(t), Some(ns)) = (t, ns) else { return false };
                    let moved = if *earlier { t.checked_sub(ns) } else { t.checked_add(ns) };
                    moved.is_some_and(|t| visit(Val::Int(t)))
                })
            }),
            Operand::Slice { of, text, ranges } => self.each(*of, row, &mut |value| match value {
                Val::Octets(bytes) => slice(bytes, *text, ranges, visit),
                _ => false,
            }),
        }
    }
}

/// Any (or every one, and at least one) of the values that `each` hands out fits.
fn quantify(all: bool, each: impl FnOnce(Visit<'_>) -> bool, mut fits: impl FnMut(Val<'_>) -> bool) -> bool {
    if !all {
        return each(&mut fits);
    }
    let mut seen = false;
    let failed = each(&mut |value| {
        seen = true;
        !fits(value)
    });
    seen && !failed
}

fn changed(value: Val<'_>, visit: Visit<'_>, change: fn(&mut [u8])) -> bool {
    let Val::Octets(bytes) = value else { return false };
    let mut buf = Buf::new();
    buf.push(bytes);
    change(buf.bytes_mut());
    visit(Val::Octets(buf.bytes()))
}

/// Cuts out the ranges and puts them together. A value that doesn't reach as far as a range has no such slice.
fn slice(bytes: &[u8], text: bool, ranges: &[SliceRange], visit: Visit<'_>) -> bool {
    if let [range] = ranges {
        return cut(bytes, text, *range).is_some_and(|part| visit(Val::Octets(part)));
    }
    let mut buf = Buf::new();
    for range in ranges {
        let Some(part) = cut(bytes, text, *range) else { return false };
        buf.push(part);
    }
    visit(Val::Octets(buf.bytes()))
}

fn cut(bytes: &[u8], text: bool, range: SliceRange) -> Option<&[u8]> {
    // Only text that is not ASCII needs its characters counted.
    let chars = if text && !bytes.is_ascii() { Some(std::str::from_utf8(bytes).ok()?) } else { None };
    let length = chars.map_or(bytes.len(), |text| text.chars().count());
    let place = |offset: i32| {
        let from_end = if offset < 0 { length } else { 0 };
        from_end.checked_add_signed(isize::try_from(offset).ok()?)
    };
    let start = place(range.start)?;
    let end = match range.end {
        SliceEnd::Length(n) => start.checked_add(n as usize)?,
        SliceEnd::At(last) => place(last)? + 1,
        SliceEnd::Open => length,
    };
    if start > end || end > length {
        return None;
    }
    match chars {
        None => bytes.get(start..end),
        Some(text) => {
            let byte = |at: usize| text.char_indices().nth(at).map_or(bytes.len(), |(byte, _)| byte);
            bytes.get(byte(start)..byte(end))
        }
    }
}

impl Number {
    fn of(value: Val<'_>) -> Option<Self> {
        match value {
            Val::Int(n) => Some(Self::Int(n)),
            Val::Float(x) => Some(Self::Float(x)),
            _ => None,
        }
    }

    fn val(self) -> Val<'static> {
        match self {
            Self::Int(n) => Val::Int(n),
            Self::Float(x) => Val::Float(x),
        }
    }

    /// The order of the two, exactly, also between kinds.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(a, b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(b, a).map(Ordering::reverse),
        }
    }

    /// None where there is no result: a division by zero, a result beyond 128 bits.
    pub(crate) fn calculate(self, op: ArithmeticOp, other: Self) -> Option<Self> {
        if let (Self::Int(a), Self::Int(b)) = (self, other) {
            return match op {
                ArithmeticOp::BitAnd => Some(a & b),
                ArithmeticOp::Add => a.checked_add(b),
                ArithmeticOp::Sub => a.checked_sub(b),
                ArithmeticOp::Mul => a.checked_mul(b),
                ArithmeticOp::Div => a.checked_div(b),
                ArithmeticOp::Rem => a.checked_rem(b),
            }
            .map(Self::Int);
        }
        let (a, b) = (self.float(), other.float());
        match op {
            ArithmeticOp::BitAnd => None,
            ArithmeticOp::Add => Some(a + b),
            ArithmeticOp::Sub => Some(a - b),
            ArithmeticOp::Mul => Some(a * b),
            ArithmeticOp::Div => (b != 0.0).then(|| a / b),
            ArithmeticOp::Rem => (b != 0.0).then(|| a % b),
        }
        .map(Self::Float)
    }

    fn float(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(x) => x,
        }
    }
}

/// Without rounding the whole number, which may have more digits than a float keeps.
fn compare_int_float(a: i128, b: f64) -> Option<Ordering> {
    const LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127
    if b.is_nan() {
        return None;
    }
    if b >= LIMIT {
        return Some(Ordering::Less);
    }
    if b < -LIMIT {
        return Some(Ordering::Greater);
    }
    let whole = b.trunc();
    Some(a.cmp(&(whole as i128)).then_with(|| 0.0_f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal)))
}

impl Relation {
    fn of(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
            Self::Contains => false,
        }
    }

    pub(crate) fn holds(self, a: Val<'_>, b: Val<'_>) -> bool {
        let order = match (a, b) {
            (Val::Octets(a), Val::Octets(b)) if self == Self::Contains => {
                return memchr::memmem::find(a, b).is_some();
            }
            (Val::Octets(a), Val::Octets(b)) => Some(a.cmp(b)),
            (Val::Ip(IpAddr::V4(a)), Val::Ip(IpAddr::V4(b))) => Some(a.cmp(&b)),
            (Val::Ip(IpAddr::V6(a)), Val::Ip(IpAddr::V6(b))) => Some(a.cmp(&b)),
            _ => Number::of(a).zip(Number::of(b)).and_then(|(a, b)| a.compare(b)),
        };
        order.is_some_and(|order| self.of(order))
    }
}

impl Check {
    /// The frequent checks of plain fields at once, all others by way of [`Val`].
    #[inline]
    pub(crate) fn fits(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Self::Octets(Relation::Eq, wanted), ValueRef::Str(text)) => **wanted == *text.as_bytes(),
            (Self::Int(low, high), ValueRef::Uint(n)) => (*low..=*high).contains(&n.into()),
            (Self::V4(low, high), ValueRef::Ip(IpAddr::V4(address))) => {
                (*low..=*high).contains(&u32::from(address))
            }
            _ => self.fits_value(value.into()),
        }
    }

    #[inline(never)]
    pub(crate) fn fits_value(&self, value: Val<'_>) -> bool {
        match (self, value) {
            (Self::Any(checks), value) => checks.iter().any(|check| check.fits_value(value)),
            (Self::Int(low, high), Val::Int(n)) => (*low..=*high).contains(&n),
            (Self::V4(low, high), Val::Ip(IpAddr::V4(address))) => {
                (*low..=*high).contains(&u32::from(address))
            }
            (Self::V6(low, high), Val::Ip(IpAddr::V6(address))) => {
                (*low..=*high).contains(&u128::from(address))
            }
            (Self::OctetsFolded(wanted), Val::Octets(bytes)) => bytes.eq_ignore_ascii_case(wanted),
            (Self::Ints(ranges), Val::Int(n)) => ranges.contains(&n),
            (Self::Float(relation, x), value) => relation.holds(value, Val::Float(*x)),
            (Self::Floats(ranges), value) => ranges.iter().any(|(low, high)| {
                Relation::Ge.holds(value, Val::Float(*low)) && Relation::Le.holds(value, Val::Float(*high))
            }),
            (Self::Octets(relation, wanted), Val::Octets(bytes)) => relation.of(bytes.cmp(wanted)),
            (Self::OctetSet(set), Val::Octets(bytes)) => set.contains(bytes),
            (Self::OctetRanges(ranges), Val::Octets(bytes)) => ranges.contains(bytes),
            (Self::Contains(finder), Val::Octets(bytes)) => finder.find(bytes).is_some(),
            (Self::Matches(regex), Val::Octets(bytes)) => regex.is_match(bytes),
            (Self::Addresses(networks), Val::Ip(address)) => networks.contains(address),
            (Self::List(list), Val::Octets(bytes)) => list.contains_octets(bytes),
            (Self::List(list), Val::Ip(address)) => list.contains_address(address),
            (Self::List(list), Val::Int(n)) => list.contains_number(n),
            _ => false,
        }
    }

    /// A range of addresses of one family.
    pub(crate) fn addresses(low: IpAddr, high: IpAddr) -> Option<Self> {
        match (low, high) {
            (IpAddr::V4(low), IpAddr::V4(high)) => Some(Self::V4(Ipv4Addr::into(low), Ipv4Addr::into(high))),
            (IpAddr::V6(low), IpAddr::V6(high)) => Some(Self::V6(Ipv6Addr::into(low), Ipv6Addr::into(high))),
            _ => None,
        }
    }
}
