//! A series in, quantiles of its next steps out.
//!
//! ```
//! use chatbot_forecast::{Forecaster, Settings};
//! use jiff::Timestamp;
//!
//! // Requests per second, every 10 minutes, 3 steps (30 minutes) ahead.
//! let mut forecaster = Forecaster::new(Settings::new(600, 3))?;
//! for slot in 0..200 {
//!     let at = Timestamp::from_second(slot * 600)?;
//!     forecaster.observe(at, Some(100.0))?;
//! }
//! let forecast = forecaster.forecast()?;
//! assert!(forecast.highest(0.9, 30 * 60).is_some_and(|load| load >= 100.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate is pure: it has no client, no runtime, no files and no clock. What it has learned is the value
//! [`Forecaster`], which is carried from pass to pass: it is stored, read again, and goes on with the same numbers.
//! Nothing is refitted from raw history.

mod ahead;
pub mod backtest;
mod calendar;
mod conformal;
mod features;
mod forecaster;
mod guard;
mod history;
mod learned;
mod member;
mod outlook;
mod packed;
mod peers;
mod ridge;
mod scale;
mod settings;
mod skill;
#[cfg(test)]
mod tests;
pub mod trace;
mod weights;

pub use forecaster::{Forecaster, NoForecast, Refused};
pub use outlook::{Forecast, QUANTILES, Step};
pub use settings::{InvalidSettings, Settings};
pub use skill::Skill;
