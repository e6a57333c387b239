//! Reading what may be of another kind than it should be: a value of the wrong kind counts as missing, and leaves a note.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

thread_local! {
    /// How many values of a wrong kind were met since [`take_odd`] was last called on this thread. Deserializers carry
    /// no context; the rare measurement that has such values is read a second time to tell where they are.
    static ODD: Cell<u32> = const { Cell::new(0) };
}

/// How many values of a wrong kind were met since the last call.
pub(super) fn take_odd() -> u32 {
    ODD.take()
}

fn odd<T: Default>() -> T {
    note();
    T::default()
}

/// Counts a value that can't be used.
pub(super) fn note() {
    ODD.set(ODD.get().saturating_add(1));
}

/// What can be made from a JSON value of any kind; of those it isn't made from, nothing is made.
pub(super) trait Lax<'de>: Default {
    fn of_bool(_: bool) -> Self {
        odd()
    }

    fn of_int(_: i64) -> Self {
        odd()
    }

    fn of_float(_: f64) -> Self {
        odd()
    }

    fn of_str(_: &str) -> Self {
        odd()
    }

    fn of_string(text: String) -> Self {
        Self::of_str(&text)
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(odd())
    }

    fn of_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(odd())
    }
}

/// For `deserialize_with`.
pub(super) fn lax<'de, D: Deserializer<'de>, T: Lax<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(AnyKind(PhantomData))
}

struct AnyKind<T>(PhantomData<T>);

impl<'de, T: Lax<'de>> Visitor<'de> for AnyKind<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        Ok(T::of_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        Ok(T::of_int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        Ok(i64::try_from(value).map_or_else(|_| odd(), T::of_int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        Ok(T::of_float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        Ok(T::of_str(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<T, E> {
        Ok(T::of_string(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::of_map(map)
    }
}

/// A [`Lax`] value as something that serde's own collections can hold.
struct Any<T>(T);

impl<'de, T: Lax<'de>> Deserialize<'de> for Any<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lax(deserializer).map(Any)
    }
}

impl Lax<'_> for bool {
    fn of_bool(value: bool) -> Self {
        value
    }
}

impl Lax<'_> for String {
    fn of_str(value: &str) -> Self {
        value.to_owned()
    }

    fn of_string(value: String) -> Self {
        value
    }
}

impl Lax<'_> for f64 {
    fn of_int(value: i64) -> Self {
        value as Self
    }

    fn of_float(value: f64) -> Self {
        value
    }
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {
        $(impl Lax<'_> for $kind {
            fn of_int(value: i64) -> Self {
                Self::try_from(value).unwrap_or_else(|_| odd())
            }
        })*
    };
}

whole_numbers!(i64, u8, u16, u32, u64);

/// `null` is none of them; and so is a value of a wrong kind, other than in the type itself.
impl<'de, T: Lax<'de>> Lax<'de> for Option<T> {
    fn of_bool(value: bool) -> Self {
        some(|| T::of_bool(value))
    }

    fn of_int(value: i64) -> Self {
        some(|| T::of_int(value))
    }

    fn of_float(value: f64) -> Self {
        some(|| T::of_float(value))
    }

    fn of_str(value: &str) -> Self {
        some(|| T::of_str(value))
    }

    fn of_string(value: String) -> Self {
        some(|| T::of_string(value))
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        T::of_list(list).map(Some)
    }

    fn of_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::of_map(map).map(Some)
    }
}

fn some<T>(make: impl FnOnce() -> T) -> Option<T> {
    let before = ODD.get();
    let value = make();
    (ODD.get() == before).then_some(value)
}

/// An element of a wrong kind leaves an empty one behind, so that the others keep their places.
impl<'de, T: Lax<'de>> Lax<'de> for Vec<T> {
    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut values = Self::new();
        while let Some(Any(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}

impl<'de, A: Lax<'de>, B: Lax<'de>> Lax<'de> for (A, B) {
    fn of_list<L: SeqAccess<'de>>(mut list: L) -> Result<Self, L::Error> {
        let first = list.next_element::<Any<A>>()?.map_or_else(odd, |Any(value)| value);
        let second = list.next_element::<Any<B>>()?.map_or_else(odd, |Any(value)| value);
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok((first, second))
    }
}

impl<'de, T: Lax<'de>> Lax<'de> for BTreeMap<String, T> {
    fn of_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut values = Self::new();
        while let Some((key, Any(value))) = map.next_entry()? {
            values.insert(key, value);
        }
        Ok(values)
    }

    /// Some writers' empty map.
    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        match list.next_element::<IgnoredAny>()? {
            None => Ok(Self::new()),
            Some(_) => {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(odd())
            }
        }
    }
}

impl<'de> Lax<'de> for serde_json::Map<String, serde_json::Value> {
    fn of_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Structures are made from maps.
macro_rules! from_maps {
    ($($kind:ty),* $(,)?) => {
        $(impl<'de> Lax<'de> for $kind {
            fn of_map<A: serde::de::MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
                serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        })*
    };
}
pub(super) use from_maps;
