//! Numbers as they are in memory, in base64: a state that is read again goes on bit for bit, and is half as long as
//! in decimal digits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Serialises a list of numbers.
pub(crate) fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
}

/// Reads what [`serialize`] wrote.
pub(crate) fn deserialize<'de, D, L>(deserializer: D) -> Result<L, D::Error>
where
    D: Deserializer<'de>,
    L: TryFrom<Vec<f64>>,
{
    let bytes = bytes(deserializer)?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(D::Error::custom("a list of numbers was cut off"));
    }
    let numbers: Vec<f64> = numbers
        .iter()
        .map(|number| f64::from_le_bytes(*number))
        .collect();
    L::try_from(numbers).map_err(|_| D::Error::custom("a list of numbers has another length"))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD_NO_PAD.decode(text).map_err(D::Error::custom)
}

/// The same for values of a series, of which seven digits are kept.
pub(crate) mod single {
    use std::collections::VecDeque;

    use super::{Deserializer, STANDARD_NO_PAD, Serializer, bytes};
    use base64::Engine as _;
    use serde::de::Error as _;

    pub(crate) fn serialize<S: Serializer>(
        numbers: &VecDeque<f32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<VecDeque<f32>, D::Error> {
        let bytes = bytes(deserializer)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a list of values was cut off"));
        }
        Ok(numbers
            .iter()
            .map(|number| f32::from_le_bytes(*number))
            .collect())
    }
}
