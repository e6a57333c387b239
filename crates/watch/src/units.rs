//! Numbers for people: at most four characters and a unit.

/// Three digits and a prefix: `999`, `1.2k`, `45M`. Powers of 1000.
pub(crate) fn short(number: u64) -> String {
    scaled(number, "")
}

/// Bytes: `15 kB`.
pub(crate) fn bytes(number: u64) -> String {
    scaled(number, " ") + "B"
}

/// Bits a second: `1.2 Gbit/s`.
pub(crate) fn bits_per_s(number: u64) -> String {
    scaled(number, " ") + "bit/s"
}

fn scaled(number: u64, blank: &str) -> String {
    if number < 1000 {
        return format!("{number}{blank}");
    }
    const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let mut unit = 1000_u64;
    for (i, prefix) in PREFIXES.iter().enumerate() {
        let is_last = i + 1 == PREFIXES.len();
        // Rounded in whole numbers: 999.6 is the next prefix's 1.0.
        let tenths = (u128::from(number) * 10 + u128::from(unit) / 2) / u128::from(unit);
        if tenths < 100 {
            return format!("{}.{}{blank}{prefix}", tenths / 10, tenths % 10);
        }
        let whole = (u128::from(number) + u128::from(unit) / 2) / u128::from(unit);
        if whole < 1000 || is_last {
            return format!("{whole}{blank}{prefix}");
        }
        unit = unit.saturating_mul(1000);
    }
    String::new()
}

/// A part of a whole in percent: `12 %`, `<1 %`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".into();
    }
    match u128::from(part) * 200 / u128::from(whole) {
        0..=1 => "<1 %".into(),
        twice => format!("{} %", twice.div_ceil(2).min(100)),
    }
}

/// A time: `340 ms`, `12 s`, `3 min 20 s`, `5 h 12 min`, `3 d 4 h`.
pub(crate) fn duration_ns(ns: i64) -> String {
    let ms = ns.max(0) / 1_000_000;
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..=9 => format!("{}.{} s", s, ms % 1000 / 100),
        10..=59 => format!("{s} s"),
        60..=3599 => format!("{} min {} s", s / 60, s % 60),
        3600..=86_399 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// The time of day in UTC: `14:03:59`.
pub(crate) fn clock(ns: i64) -> String {
    let s = ns.div_euclid(1_000_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounds() {
        let shown =
            [0, 999, 1000, 1049, 1050, 9949, 9950, 99_499, 999_499, 999_500, 1 << 40, u64::MAX].map(short);
        assert_eq!(
            shown,
            ["0", "999", "1.0k", "1.0k", "1.1k", "9.9k", "10k", "99k", "999k", "1.0M", "1.1T", "18E"]
        );
        assert_eq!(
            (bytes(1500), bits_per_s(12), bytes(0)),
            ("1.5 kB".into(), "12 bit/s".into(), "0 B".into())
        );
        assert_eq!(
            [(1, 1000), (1, 200), (1, 100), (1, 3), (1, 1), (0, 0)].map(|(a, b)| percent(a, b)).join(" "),
            "<1 % <1 % 1 % 33 % 100 % 0 %"
        );
        assert_eq!(clock(-1), "23:59:59");
        assert_eq!(duration_ns(200_500_000_000), "3 min 20 s");
    }

    proptest! {
        #[test]
        fn never_wider_than_four(number: u64) {
            prop_assert!(short(number).len() <= 4);
        }
    }
}
