//! What is wrong with a resource, for the person who wrote it.

use std::fmt;

/// One fault: the field, its value and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, such as `spec.channels[0].name`.
    pub path: String,
    /// What it says, as JSON; empty when it is missing.
    pub value: String,
    /// What it must be.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}: {}", self.path, self.remedy)
        } else {
            write!(
                f,
                "{}: invalid value {}: {}",
                self.path, self.value, self.remedy
            )
        }
    }
}

/// Every fault of a resource, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}
