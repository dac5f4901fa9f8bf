//! Gemini's older form of schemas names types in capitals; everybody else does not.

use serde_json::Value;
use serde_json::value::RawValue;

/// A longer schema is left as it is.
const SCHEMA_BYTES_MAX: usize = 256 << 10;

/// The schema with its types in small letters.
pub(crate) fn lower(schema: Box<RawValue>) -> Box<RawValue> {
    if schema.get().len() > SCHEMA_BYTES_MAX {
        return schema;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(schema.get()) else { return schema };
    lower_in(&mut value);
    RawValue::from_string(value.to_string()).unwrap_or(schema)
}

/// Reading allowed no deeper value than this can walk.
fn lower_in(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    if let Some(Value::String(kind)) = object.get_mut("type") {
        kind.make_ascii_lowercase();
    }
    for (key, value) in object {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(lower_in);
            }
            ("items" | "additionalProperties", value) => lower_in(value),
            ("anyOf" | "oneOf" | "allOf", Value::Array(forms)) => {
                forms.iter_mut().for_each(lower_in);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lose_their_capitals_and_names_keep_them() {
        let old = r#"{"type":"OBJECT","properties":{"type":{"type":"ARRAY","items":{"type":"STRING","enum":["A"]}}}}"#;
        let new = r#"{"properties":{"type":{"items":{"enum":["A"],"type":"string"},"type":"array"}},"type":"object"}"#;
        let lowered = lower(RawValue::from_string(old.to_owned()).expect("JSON"));
        let same = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(same(lowered.get()), same(new));
    }
}
