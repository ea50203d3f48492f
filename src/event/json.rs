//! [`Event::json`]: JSON in events, and enums whose variant is the event type.
//!
//! [`DecodeCache`] keeps the decoded values of an event, which all its subscribers share.

use std::any::{Any, TypeId};
use std::sync::{Arc, OnceLock};

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};
use serde_json::de::StrRead;

use crate::error::{Error, ErrorKind, beginning, quoted};

use super::Event;

impl Event {
    /// Returns the data, decoded as JSON.
    ///
    /// The first caller decodes it, on its own thread; all others get the same value. This is done
    /// once for each type `T`.
    ///
    /// An **enum** stands for the whole event: the event type names the variant, and the data is
    /// what the variant holds. So a subscription to several types keeps them in wire order and
    /// apart. A variant that holds nothing accepts any data; a variant with `#[serde(other)]`
    /// accepts all other types. An enum that is tagged within the data (`#[serde(tag = …)]`,
    /// `untagged`), or inside another type, is decoded from the data.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the data is not JSON, does not fit the type or has more after it,
    /// or if the enum has no variant for the event type. The source is serde's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::Event;
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(rename_all = "lowercase")]
    /// enum Change {
    ///     Put { key: String },
    ///     Delete(String),
    /// }
    ///
    /// let event = Event::builder().event_type("delete").data(r#""a""#).build()?;
    /// assert!(matches!(&*event.json::<Change>()?, Change::Delete(key) if key == "a"));
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn json<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        self.layout().decode_cache.get(|| {
            T::deserialize(Tagged { event_type: self.event_type(), data: self.data() }).map_err(|error| {
                let (event_type, reason) = (quoted(self.event_type()), error.to_string());
                // serde repeats a string that it does not take.
                let message = format!("an event of type {event_type} cannot be decoded: {}", beginning(&reason));
                Error::with_source(ErrorKind::Decode, message, error)
            })
        })
    }
}

/// A list of decoded values, at most one of each type.
// It only grows. An event is decoded as one type, or a few.
#[derive(Default)]
pub(super) struct DecodeCache(OnceLock<Box<DecodedValue>>);

struct DecodedValue {
    made_as: TypeId,
    made: OnceLock<Result<Arc<dyn Any + Send + Sync>, Error>>,
    others: DecodeCache,
}

impl DecodeCache {
    /// Returns the value of type `T`. The first caller makes it, and others wait for that. If
    /// `make` panics, the next caller makes it.
    fn get<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> Result<T, Error>) -> Result<Arc<T>, Error> {
        let (mut cache, made_as) = (self, TypeId::of::<T>());
        let made = loop {
            // Boxed: most events are never decoded this way, and have no room for a value.
            let new = || Box::new(DecodedValue { made_as, made: OnceLock::new(), others: Self::default() });
            let entry = cache.0.get_or_init(new);
            if entry.made_as == made_as {
                break entry.made.get_or_init(|| Ok(Arc::new(make()?)));
            }
            cache = &entry.others;
        };
        // The downcast cannot fail: values are found by their type.
        made.clone()?.downcast().map_err(|_| Error::new(ErrorKind::Decode, "made as another type"))
    }
}

/// An event as serde sees it: its data, or for an enum the data within its type.
struct Tagged<'de> {
    event_type: &'de str,
    data: &'de str,
}

type Result<T, E = serde_json::Error> = std::result::Result<T, E>;

impl<'de> Tagged<'de> {
    /// Reads the data to its end.
    fn data<T>(self, read: impl FnOnce(&mut serde_json::Deserializer<StrRead<'de>>) -> Result<T>) -> Result<T> {
        let mut json = serde_json::Deserializer::from_str(self.data);
        let value = read(&mut json)?;
        // Text after the value would go unnoticed otherwise.
        json.end()?;
        Ok(value)
    }
}

macro_rules! data {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value> {
            self.data(|json| json.$method($($name,)* visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Tagged<'de> {
    type Error = serde_json::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }

    data! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string()
        deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_unit_struct(name: &'static str) deserialize_newtype_struct(name: &'static str) deserialize_seq()
        deserialize_tuple(length: usize) deserialize_tuple_struct(name: &'static str, length: usize) deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) deserialize_identifier()
        deserialize_ignored_any()
    }
}

impl<'de> EnumAccess<'de> for Tagged<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(StrDeserializer::new(self.event_type))?, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        self.data(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.data(|json| json.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.data(|json| json.deserialize_struct("", fields, visitor))
    }
}
