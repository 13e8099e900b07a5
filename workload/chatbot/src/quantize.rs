//! `chatbot quantize`

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Error, Result};
use chatbot_engine::{ConvertError, convert};
use chatbot_telemetry::log;
use clap::ValueEnum;

/// A format of weights, as the command line spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// 8.5 bits per weight
    #[value(name = "q8_0")]
    Q8,
    /// 16-bit floats
    F16,
    /// 32-bit floats
    F32,
}

/// Converts a model, with its progress on standard error.
pub fn quantize(from: &Path, to: &Path, format: Format) -> Result<()> {
    log::init("warn")?;
    let before = std::fs::metadata(from).map_or(0, |file| file.len());
    let format = match format {
        Format::Q8 => chatbot_engine::Format::Q8_0,
        Format::F16 => chatbot_engine::Format::F16,
        Format::F32 => chatbot_engine::Format::F32,
    };
    let terminal = std::io::stderr().is_terminal();
    let mut shown = 0;
    let converted = convert(from, to, format, |progress| {
        let percent = (progress * 10.0).floor() * 10.0;
        if terminal {
            eprint!("\rconverting: {:>3.0} %", progress * 100.0);
            // A line of progress that cannot be written is no reason to stop.
            let _ = std::io::stderr().flush();
        } else if percent >= f64::from(shown) + 10.0 {
            shown += 10;
            eprintln!("converting: {percent:.0} %");
        }
    });
    if terminal {
        eprintln!();
    }
    let converted = converted.map_err(placed)?;
    println!(
        "wrote {}: {}, {:.0} MB from {:.0} MB, {:.1} million parameters",
        to.display(),
        converted.format,
        converted.bytes as f64 / 1e6,
        before as f64 / 1e6,
        converted.parameters as f64 / 1e6,
    );
    Ok(())
}

/// The error, behind the option that is to be changed for it.
fn placed(error: ConvertError) -> Error {
    let option = match error {
        ConvertError::From(_) | ConvertError::Engine { .. } => "--from",
        ConvertError::To { .. } | ConvertError::NoSpace { .. } => "--to",
    };
    Error::new(error).context(option)
}
