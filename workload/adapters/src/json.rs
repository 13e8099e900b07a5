//! Reading JSON of which only a little is of interest, and of which anything may be missing.

use serde_json::Value;

use crate::Refusal;

/// The body as JSON. Depth is bounded by the parser (128), size by the transport; what is no UTF-8, and a surrogate
/// without its other half, is no JSON.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::malformed(format!("the body is not JSON: {error}")))
}

/// The text at a pointer (RFC 6901); absent when it is none, or empty.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The text at a pointer, owned.
pub(crate) fn owned(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).map(str::to_owned)
}

/// The text at a pointer, which has to be there.
pub(crate) fn required<'v>(value: &'v Value, pointer: &str) -> Result<&'v str, Refusal> {
    text(value, pointer).ok_or_else(|| missing(pointer, "a text"))
}

/// The whole number at a pointer.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer)?.as_i64()
}

/// The whole number at a pointer, which has to be there.
pub(crate) fn required_number(value: &Value, pointer: &str) -> Result<i64, Refusal> {
    number(value, pointer).ok_or_else(|| missing(pointer, "a whole number"))
}

/// The list at a pointer; empty when there is none.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Whether the value at a pointer is `true`.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// A number or a text, as text: platforms write ids as either.
pub(crate) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn missing(pointer: &str, what: &str) -> Refusal {
    let field = pointer.trim_start_matches('/').replace('/', ".");
    Refusal::malformed(format!("{field}: it must be {what}"))
}
