//! The simple forecasters that are combined. Each says by how much the logarithm of the load will have changed some
//! steps ahead; that nothing changes (0) is the last value, and is a member like the others.

mod hourly;
mod seasonal;
mod smoothing;

pub(crate) use hourly::HourProfile;
pub(crate) use seasonal::Past;
pub(crate) use smoothing::{HoltWinters, Level, Shares};
