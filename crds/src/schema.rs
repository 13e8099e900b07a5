//! The resource's definition, as the API server gets it.

pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
