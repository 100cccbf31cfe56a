//! Settings from a map of anything: accepted here, at the edge, and typed from here on.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{DEPTH_MAX, Node, Origin, Settings, Value};
use crate::{Error, ErrorKind, Result};

impl Settings {
    /// The settings that a map of anything holds: a JSON object, a value of another library, whatever
    /// serde can read from.
    ///
    /// All of it comes from the calling line of code, as far as anybody can tell. What cannot be a
    /// setting (bytes, keys that are no text, a key twice, more than [`DEPTH_MAX`] levels) is an error.
    ///
    /// ```
    /// use switchboard_core::Settings;
    ///
    /// let anything = serde_json::json!({ "driver": "memory", "limits": { "max": 20 } });
    /// let settings = Settings::accept(anything)?;
    /// assert_eq!(settings.get("limits.max").and_then(|node| node.as_integer()), Some(20));
    /// # switchboard_core::Result::<()>::Ok(())
    /// ```
    #[track_caller]
    pub fn accept<'de>(anything: impl Deserializer<'de>) -> Result<Self> {
        Self::accept_from(anything, &Origin::here())
    }

    /// Like [`accept`](Self::accept), where it is known who or what gave it.
    ///
    /// ```
    /// use switchboard_core::{Origin, Settings};
    ///
    /// let anything = serde_json::json!({ "limits": { "max": 20 } });
    /// let settings = Settings::accept_from(anything, &Origin::named("ada"))?;
    /// assert_eq!(settings.get("limits.max").map(|node| node.origin().to_string()).as_deref(), Some("ada"));
    /// # switchboard_core::Result::<()>::Ok(())
    /// ```
    pub fn accept_from<'de>(anything: impl Deserializer<'de>, origin: &Origin) -> Result<Self> {
        let reading = Reading { origin, depth: 0 };
        let mut node = reading.deserialize(anything).map_err(|error| {
            // What serde says may quote a value, and a value may be a secret.
            let kept = error.to_string();
            let message = kept.strip_prefix(OURS).unwrap_or("it does not hold settings");
            Error::new(ErrorKind::Config, message.to_owned())
        })?;
        match std::mem::take(&mut node.value) {
            Value::Table(settings) => Ok(settings),
            _ => Err(Error::new(ErrorKind::Config, "settings are a map of keys to values")),
        }
    }
}

/// Reads one value that stands `depth` levels deep.
#[derive(Clone, Copy)]
struct Reading<'o> {
    origin: &'o Origin,
    depth: usize,
}

impl Reading<'_> {
    fn node(self, value: impl Into<Value>) -> Node {
        Node::new(value, self.origin.clone())
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(refusal(format_args!("nested more than {DEPTH_MAX} deep")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(self.node(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(self.node(Value::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(self.node(Value::Integer(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(self.node(Value::Integer(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(self.node(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(self.node(Value::String(value.to_owned())))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        self.deserialize(from)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        self.deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let inside = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(self.node(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let inside = self.deeper()?;
        let mut table = Settings::at(self.origin.clone());
        while let Some(key) = entries.next_key::<String>()? {
            let node = entries.next_value_seed(inside)?;
            if table.child(&key).is_some() {
                return Err(refusal(format_args!("a key occurs twice")));
            }
            table.insert(key, node);
        }
        Ok(self.node(Value::Table(table)))
    }
}

/// An error whose words are ours, and so quote nothing.
fn refusal<E: de::Error>(message: fmt::Arguments<'_>) -> E {
    E::custom(format_args!("{OURS}{message}"))
}

const OURS: &str = "settings: ";

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::de::value::{BytesDeserializer, MapDeserializer};
    use serde_json::{Value as Json, json};

    use super::*;

    type Plain = de::value::Error;

    #[test]
    fn a_map_of_plain_values_is_accepted() {
        let map = HashMap::from([("max", 3_u64)]);
        let settings = Settings::accept(MapDeserializer::<_, Plain>::new(map.into_iter())).unwrap();
        assert_eq!(settings.get("max").and_then(Node::as_integer), Some(3));
        let origin = settings.get("max").unwrap().origin().to_string();
        assert!(origin.contains("anything.rs"), "{origin}");
    }

    #[test]
    fn what_cannot_be_a_setting_is_refused_without_quoting_it() {
        let twice = [("key", "canary"), ("key", "canary")];
        let twice = Settings::accept(MapDeserializer::<_, Plain>::new(twice.into_iter()));
        assert_eq!(twice.unwrap_err().message(), "a key occurs twice");
        let bytes = Settings::accept(BytesDeserializer::<Plain>::new(b"canary")).unwrap_err();
        assert!(!format!("{bytes} {bytes:?}").contains("canary"));
        let list = Settings::accept(json!(["canary"])).unwrap_err();
        assert_eq!(list.kind(), ErrorKind::Config);
    }

    #[test]
    fn a_map_without_a_bottom_is_refused() {
        let mut deep = json!(1);
        for _ in 0..=DEPTH_MAX {
            deep = json!({ "in": deep });
        }
        let error = Settings::accept(deep).unwrap_err();
        assert_eq!(error.message(), format!("nested more than {DEPTH_MAX} deep"));
    }

    fn anything() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            (-1e9..1e9_f64).prop_map(|value| json!(value + 0.5)),
            "\\PC{0,8}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::hash_map("\\PC{0,8}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    fn as_json(value: &Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => json!(value),
            Value::Integer(value) => json!(value),
            Value::Float(value) => json!(value),
            Value::String(value) | Value::Untyped(value) => json!(value),
            Value::List(list) => list.iter().map(|node| as_json(node.value())).collect(),
            Value::Table(table) => {
                table.iter().map(|(key, node)| (key.to_owned(), as_json(node.value()))).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way_in(anything in anything()) {
            let wrapped = json!({ "value": anything });
            let settings = Settings::accept(wrapped.clone()).unwrap();
            prop_assert_eq!(as_json(&Value::Table(settings)), wrapped);
        }
    }
}
