//! Quantities, as in `resources` of a pod.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::api::resource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A quantity such as `8`, `500m` or `32Gi`, kept as it was written.
///
/// Any string can be held: what is stored is read without failing, and refused by `Settings` when it is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

const NANO: i128 = 1_000_000_000;
/// The most that is taken, in billionths of one: what is larger cannot be compared with everything else.
const MOST: i128 = NANO * 1_000_000_000_000_000;

impl Quantity {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In thousandths, rounded up: a CPU is 1000. Absent when it is no quantity, negative, or too large.
    #[must_use]
    pub fn milli(&self) -> Option<u64> {
        u64::try_from(divide_up(self.nano()?, 1_000_000)).ok()
    }

    /// In whole units, rounded up: bytes. Absent when it is no quantity, negative, or too large.
    #[must_use]
    pub fn units(&self) -> Option<u64> {
        u64::try_from(divide_up(self.nano()?, NANO)).ok()
    }

    /// Whether it is a quantity from 0 to 1P: what a resource of a pod may be.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.nano().is_some_and(|nano| (0..=MOST).contains(&nano))
    }

    /// Whether it is a whole number.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        self.nano().is_some_and(|nano| nano % NANO == 0)
    }

    /// In billionths, as exact as Kubernetes is; absent when it is no quantity, or too large.
    pub(crate) fn nano(&self) -> Option<i128> {
        let text = self.0.as_str();
        let (negative, text) = match text.strip_prefix(['+', '-']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        let number = text
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let (number, suffix) = text.split_at(number);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || fraction.contains('.') {
            return None;
        }
        let mantissa: i128 = digits.parse().ok()?;
        let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let (factor, over) = factor(suffix)?;
        let nano = divide_up(mantissa.checked_mul(factor)?, divisor.checked_mul(over)?);
        Some(if negative { -nano } else { nano })
    }
}

/// What a suffix multiplies with, in billionths, and divides by.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    let exponent = |text: &str| -> Option<(i128, i128)> {
        let exponent: i32 = text.parse().ok()?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        if exponent < 0 {
            Some((NANO, power))
        } else {
            Some((NANO.checked_mul(power)?, 1))
        }
    };
    let factor = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => NANO * 1_000,
        "M" => NANO * 1_000_000,
        "G" => NANO * 1_000_000_000,
        "T" => NANO * 1_000_000_000_000,
        "P" => NANO * 1_000_000_000_000_000,
        "E" => NANO * 1_000_000_000_000_000_000,
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        _ => return exponent(suffix.strip_prefix(['e', 'E'])?),
    };
    Some((factor, 1))
}

fn divide_up(value: i128, by: i128) -> i128 {
    value / by + i128::from(value % by > 0)
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Quantity> for resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntOrString;

        impl de::Visitor<'_> for IntOrString {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as 8, '500m' or '32Gi'")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Quantity, E> {
                Ok(Quantity(value.to_owned()))
            }
        }

        deserializer.deserialize_any(IntOrString)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_has_the_suffixes_of_kubernetes() {
        for (text, milli) in [
            ("8", 8_000),
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("+2", 2_000),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("1E-3", 1),
            ("1.5Ki", 1_536_000),
            ("1u", 1),
        ] {
            assert_eq!(Quantity::from(text).milli(), Some(milli), "{text}");
        }
        assert_eq!(Quantity::from("32Gi").units(), Some(34_359_738_368));
        assert_eq!(
            Quantity::from("1E").units(),
            Some(1_000_000_000_000_000_000)
        );
    }

    #[test]
    fn what_is_no_quantity_is_refused_without_a_panic() {
        for text in [
            "",
            "-",
            ".",
            "many",
            "8 Gi",
            "1.2.3",
            "1ki",
            "1e",
            "1e99",
            "99999999999999999999999999999999",
            "٣",
        ] {
            assert_eq!(Quantity::from(text).nano(), None, "{text:?}");
        }
        assert_eq!(Quantity::from("-1").milli(), None);
        assert_eq!(Quantity::from("-1").nano(), Some(-NANO));
    }

    #[test]
    fn whatever_is_taken_can_be_counted_in_thousandths() {
        for (text, is_taken) in [("1P", true), ("1001T", false), ("1e99", false), ("0", true)] {
            let quantity = Quantity::from(text);
            assert_eq!(quantity.is_within_bounds(), is_taken, "{text}");
            assert!(!is_taken || quantity.milli().is_some(), "{text}");
        }
    }

    #[test]
    fn a_number_and_a_string_are_read_alike() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).unwrap();
        assert_eq!(read("8"), read("\"8\""));
        assert!(serde_json::from_str::<Quantity>("0.5").is_err());
    }
}
