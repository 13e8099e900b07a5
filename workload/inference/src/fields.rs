//! Taking the fields of a JSON object one by one, so that what nobody took is known.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// The fields of an object that were not taken yet, and where the object is.
pub(crate) struct Fields {
    path: String,
    left: Map<String, Value>,
}

impl Fields {
    pub fn of(path: &str, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(left) => Ok(Self {
                path: path.to_owned(),
                left,
            }),
            other if path.is_empty() => Err(ApiError::Body(format!(
                "the body is {}; it must be a JSON object",
                kind(&other)
            ))),
            other => Err(ApiError::invalid(
                path,
                format!("is {}; it must be an object", kind(&other)),
            )),
        }
    }

    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub fn invalid(&self, name: &str, problem: impl Into<String>) -> ApiError {
        ApiError::invalid(self.path(name), problem)
    }

    /// The value; null is the same as absence, as in `OpenAI`'s API.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left
            .shift_remove(name)
            .filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                Err(self.invalid(name, format!("is {}; it must be a string", kind(&other))))
            }
        }
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.invalid(
                name,
                format!("is {}; it must be true or false", shown(&other)),
            )),
        }
    }

    /// A number from `low` to `high`.
    pub fn number(&mut self, name: &str, low: f64, high: f64) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
            _ => Err(self.invalid(
                name,
                format!(
                    "is {}; it must be a number from {low} to {high}",
                    shown(&value)
                ),
            )),
        }
    }

    /// A whole number from 1 to `high`.
    pub fn count(&mut self, name: &str, high: u32) -> Result<Option<u32>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) if (1..=high).contains(&count) => Ok(Some(count)),
            _ => Err(self.invalid(
                name,
                format!(
                    "is {}; it must be a whole number from 1 to {high}",
                    shown(&value)
                ),
            )),
        }
    }

    /// Refuses what is left: a field that nobody took would change nothing.
    pub fn finish(self, known: &str) -> Result<(), ApiError> {
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => Err(self.invalid(name, format!("is not known here; {known}"))),
        }
    }
}

/// A value in an error message: short ones as they are, others by their kind.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 40 {
        text
    } else {
        kind(value).to_owned()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
