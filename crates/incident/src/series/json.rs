//! What IODA's and OONI's interfaces answer.
//!
//! IODA: objects with `datasource`, `from`, `step` and `values`, nested in lists under `data`. OONI's aggregates: objects
//! with a day and counts, under `result`. Keys that aren't needed are passed over.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Counts, POINTS_MAX, SERIES_MAX, Series, Signal, Wrong, entity, wrong};
use crate::when;

pub(super) fn read(text: &str) -> Result<Vec<Series>, Wrong> {
    let found: Found = serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what);
        wrong(error.line().max(1), error.column().max(1), what)
    })?;
    let mut all = found.signals;
    all.extend(found.counts.into_series());
    if all.is_empty() {
        let what = "no series in it: expected IODA's signals (`datasource`, `from`, `step`, `values`) or OONI's aggregates (`result`)";
        return Err(wrong(1, 1, what));
    }
    Ok(all)
}

/// What was found, however deep.
#[derive(Default)]
struct Found {
    signals: Vec<Series>,
    counts: Counts,
}

impl Found {
    fn join(&mut self, other: Self) {
        self.signals.extend(other.signals);
        for ((entity, label), days) in other.counts.days {
            for (at, (odd, good)) in days {
                self.counts.add(entity.clone(), label.clone(), at, odd, good);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoundVisitor)
    }
}

struct FoundVisitor;

impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let mut all = Found::default();
        while let Some(found) = list.next_element::<Found>()? {
            all.join(found);
            if all.signals.len().max(all.counts.days.len()) > SERIES_MAX {
                return Err(A::Error::custom(format_args!("more than {SERIES_MAX} series; split the file")));
            }
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut object = Object::default();
        let mut found = Found::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                // null, where there is nothing.
                "data" | "result" => found.join(map.next_value::<Option<Found>>()?.unwrap_or_default()),
                "datasource" => object.datasource = map.next_value()?,
                "subtype" => object.subtype = map.next_value()?,
                "entityCode" | "probe_cc" => object.entity = map.next_value::<Option<Text>>()?,
                "probe_asn" => object.asn = map.next_value::<Option<Text>>()?,
                "domain" | "input" | "category_code" | "test_name" => {
                    if let Some(text) = map.next_value::<Option<String>>()?.filter(|text| !text.is_empty()) {
                        object.labels.insert(key, text);
                    }
                }
                "from" => object.from = map.next_value()?,
                "step" => object.step = map.next_value()?,
                "values" => object.values = map.next_value()?,
                "measurement_start_day" => object.day = map.next_value()?,
                "anomaly_count" | "confirmed_count" => {
                    *object.odd.get_or_insert(0.0) += map.next_value::<Option<f64>>()?.unwrap_or(0.0);
                }
                "ok_count" => object.good = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        object.take(&mut found).map_err(A::Error::custom)?;
        Ok(found)
    }
}

/// An object's keys, before it is known which kind it is.
#[derive(Default)]
struct Object {
    datasource: Option<String>,
    subtype: Option<String>,
    entity: Option<Text>,
    asn: Option<Text>,
    labels: BTreeMap<String, String>,
    from: Option<i64>,
    step: Option<i64>,
    values: Option<Vec<Value>>,
    day: Option<String>,
    odd: Option<f64>,
    good: Option<f64>,
}

impl Object {
    fn take(self, found: &mut Found) -> Result<(), String> {
        let of = self.asn.or(self.entity).and_then(|text| entity(&text.0));
        if let (Some(from), Some(step), Some(values)) = (self.from, self.step, self.values) {
            if !(1..=366 * when::DAY_S).contains(&step) || from.abs() > 100_000_000_000 {
                return Err("`step` must be 1 second to a year, and `from` seconds since 1970".to_owned());
            }
            if values.len() > POINTS_MAX {
                return Err(format!("more than {POINTS_MAX} values; split the file"));
            }
            let points: Vec<(i64, f64)> = (from..)
                .step_by(step as usize)
                .zip(&values)
                .filter_map(|(at, value)| Some((at, value.0?)))
                .collect();
            let source = self.datasource.unwrap_or_default();
            let name = [source.as_str(), self.subtype.as_deref().unwrap_or_default()].join(" ");
            let name = if name.trim().is_empty() { "values" } else { name.trim() };
            let signal = Signal::guess(&source).unwrap_or(Signal::Other);
            if !points.is_empty() {
                let series = Series::new(name.to_owned(), signal, of, points);
                found.signals.push(Series { step_s: step, ..series });
            }
        } else if let (Some(day), Some(odd), Some(good)) = (self.day, self.odd, self.good) {
            let at = when::parse(&day).ok_or_else(|| format!("`{day}` is no day; expected 2020-08-09"))?;
            found.counts.add(of, self.labels.into_values().collect::<Vec<_>>().join(" "), at, odd, good);
        }
        Ok(())
    }
}

/// A text, or a number written out.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A value; nothing for null and for what is no number, such as the lists that some of IODA's sources have.
struct Value(Option<f64>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or null")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
                Ok(Value(Some(number)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
                Ok(Value(Some(number as f64)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
                Ok(Value(Some(number as f64)))
            }

            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value(None))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}
