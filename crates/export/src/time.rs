//! Times as the record writes them, read again.

/// Nanoseconds since 1970 of `2024-01-01T00:00:00.000000000Z`, as [`daylight_store::rfc3339`] writes it; `None` for anything
/// else.
pub(crate) fn nanoseconds(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    // A year before 0 begins with a sign.
    let (rest, day) = date.rsplit_once('-')?;
    let (year, month) = rest.rsplit_once('-')?;
    let (time, fraction) = time.split_once('.')?;
    let mut parts = time.split(':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || fraction.len() != 9 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (year, month, day) = (year.parse::<i64>().ok()?, digits(month)?, digits(day)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year.abs() > 300_000 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(digits(fraction)?);
    i64::try_from(total).ok()
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Days since 1970 (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use daylight_store::rfc3339;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(ns: i64) {
            let mut text = Vec::new();
            rfc3339(ns, &mut text);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(nanoseconds(&text), Some(ns), "{}", text);
        }

        #[test]
        fn anything_else_is_nothing(text in "[-0-9T:.Z]{0,35}") {
            if let Some(ns) = nanoseconds(&text) {
                let mut again = Vec::new();
                rfc3339(ns, &mut again);
                prop_assert_eq!(again.len() >= 30, true);
            }
        }
    }
}
