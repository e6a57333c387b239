//! How much a rule lets through: `2 Mbit/s`, `20 packets/s`, `10 connections/min`.

use std::fmt;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Bits of frames on the wire.
    Bits,
    /// Packets.
    Packets,
    /// The first packets of flows; all others pass.
    Connections,
}

/// So much in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What is counted.
    pub unit: Unit,
    /// How many of it; at least 1.
    pub amount: u64,
    /// In how many nanoseconds; at least 1.
    pub per_ns: u64,
}

/// What the rate of a limit is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// Everything that the rule matches together.
    Rule,
    /// Each flow.
    Flow,
    /// Each client address; of IPv6 each /64, as that is what one client has.
    Address,
}

/// What a `limit` rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The lasting rate.
    pub rate: Rate,
    /// How much may pass at once after a pause, in the rate's unit.
    pub burst: u64,
    /// What it is kept for.
    pub per: Per,
}

/// The greatest amount: 1 Tbit.
const AMOUNT_MAX: u64 = 1_000_000_000_000;
/// The least burst of a rate in bits: two large packets, so that every packet can pass some time.
const BURST_BITS_MIN: u64 = 2 * 65_536 * 8;

impl Limit {
    /// A limit whose burst is what passes in a second, but no less than one packet or connection, and no less than
    /// 1,048,576 bits: two packets of the greatest size.
    pub fn new(rate: Rate, per: Per) -> Self {
        let second = u128::from(rate.amount) * 1_000_000_000 / u128::from(rate.per_ns.max(1));
        let second = u64::try_from(second).unwrap_or(u64::MAX);
        Self { rate, burst: second.max(Self::burst_min(rate.unit)), per }
    }

    /// The least burst that makes sense.
    pub fn burst_min(unit: Unit) -> u64 {
        if unit == Unit::Bits { BURST_BITS_MIN } else { 1 }
    }
}

impl Rate {
    /// Reads a rate.
    ///
    /// # Errors
    /// With what is wrong with the text, and what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "a rate is written as 2 Mbit/s, 20 packets/s or 10 connections/min";
        let (amount, period) = text.split_once('/').ok_or(FORM)?;
        let (unit, amount) = quantity(amount)?;
        let per_ns = match period.trim() {
            "s" | "sec" | "second" => 1_000_000_000,
            "min" | "minute" => 60_000_000_000,
            "h" | "hour" => 3_600_000_000_000,
            other => return Err(format!("there is no period {other:?}: it is s, min or h")),
        };
        Ok(Self { unit, amount, per_ns })
    }
}

/// Reads an amount with its unit: `256 kB`, `2 Mbit`, `20 packets`.
///
/// # Errors
/// With what is wrong with it.
pub(crate) fn quantity(text: &str) -> Result<(Unit, u64), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!(
            "{text:?} has no number: write for example 2 Mbit, 20 packets or 10 connections"
        ));
    };
    let (kind, factor) = match unit.trim() {
        "bit" => (Unit::Bits, 1.0),
        "kbit" => (Unit::Bits, 1e3),
        "Mbit" => (Unit::Bits, 1e6),
        "Gbit" => (Unit::Bits, 1e9),
        "B" => (Unit::Bits, 8.0),
        "kB" => (Unit::Bits, 8e3),
        "MB" => (Unit::Bits, 8e6),
        "packet" | "packets" => (Unit::Packets, 1.0),
        "connection" | "connections" => (Unit::Connections, 1.0),
        other => {
            const UNITS: [&str; 9] =
                ["bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "packets", "connections"];
            // By case first: Mbit is not mbit, which people write for it.
            let near = UNITS.into_iter().find(|unit| unit.eq_ignore_ascii_case(other));
            let near = near.or_else(|| daylight_expr::nearest(other, UNITS));
            return Err(match near {
                Some(near) => format!("there is no unit {other:?}: did you mean {near}?"),
                None => format!("there is no unit {other:?}: there are {}", UNITS.join(", ")),
            });
        }
    };
    let amount = (number * factor).round();
    if !(1.0..=AMOUNT_MAX as f64).contains(&amount) {
        return Err(format!("{text:?} is not between 1 and {AMOUNT_MAX} {kind}"));
    }
    Ok((kind, amount as u64))
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bits => "bit",
            Self::Packets => "packets",
            Self::Connections => "connections",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.per_ns {
            1_000_000_000 => "s".to_owned(),
            60_000_000_000 => "min".to_owned(),
            3_600_000_000_000 => "h".to_owned(),
            ns => format!("{ns} ns"),
        };
        let (amount, prefix) = match (self.unit, self.amount) {
            (Unit::Bits, n) if n % 1_000_000_000 == 0 => (n / 1_000_000_000, "G"),
            (Unit::Bits, n) if n % 1_000_000 == 0 => (n / 1_000_000, "M"),
            (Unit::Bits, n) if n % 1000 == 0 => (n / 1000, "k"),
            (_, n) => (n, ""),
        };
        write!(f, "{amount} {prefix}{}/{period}", self.unit)
    }
}

impl Per {
    /// As in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Flow => "flow",
            Self::Address => "address",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, unit, amount, per_ns) in [
            ("2 Mbit/s", Unit::Bits, 2_000_000, 1_000_000_000),
            ("1.5 Mbit/s", Unit::Bits, 1_500_000, 1_000_000_000),
            ("100 kB/min", Unit::Bits, 800_000, 60_000_000_000),
            ("20packets/s", Unit::Packets, 20, 1_000_000_000),
            ("10 connections / min", Unit::Connections, 10, 60_000_000_000),
        ] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!(rate, Rate { unit, amount, per_ns }, "{text}");
            assert_eq!(Rate::parse(&rate.to_string()), Ok(rate), "{text}");
        }
        for (text, part) in [
            ("2 Mbit", "a rate is written as"),
            ("2 mbit/s", "did you mean Mbit?"),
            ("Mbit/s", "has no number"),
            ("0 packets/s", "is not between"),
            ("9999 Gbit/s", "is not between"),
            ("2 Mbit/day", "there is no period"),
            ("2 parsecs/s", "there is no unit"),
        ] {
            let error = Rate::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
