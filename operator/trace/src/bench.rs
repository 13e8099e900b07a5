//! The benchmarks of what is decided ahead of time, on recorded load or a trace of one's own.

pub mod ahead;
pub mod forecast;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::file::Columns;

/// A recorded load of the folder of traces.
struct Recorded {
    name: &'static str,
    file: &'static str,
    /// Seconds of a slot of the recording.
    slot: u32,
    /// Seconds of a step of demand.
    step: u32,
    /// Days at the end that are the test part.
    days: usize,
    /// In the traces of `ServeGen`, rows of 0 are times that were not recorded.
    zero_is_gap: bool,
}

const RECORDED: [Recorded; 3] = [
    Recorded {
        name: "m-small",
        file: "servegen_m-small_10min.csv.gz",
        slot: 600,
        step: 600,
        days: 5,
        zero_is_gap: true,
    },
    Recorded {
        name: "m-large",
        file: "servegen_m-large_10min.csv.gz",
        slot: 600,
        step: 600,
        days: 5,
        zero_is_gap: true,
    },
    Recorded {
        name: "worldcup98",
        file: "worldcup98_1min.csv.gz",
        slot: 60,
        step: 300,
        days: 7,
        zero_is_gap: false,
    },
];

impl Recorded {
    fn path(&self, folder: &Path) -> Result<PathBuf> {
        there(folder, self.file)
    }

    /// How it is read, in steps of so many seconds.
    fn columns(&self, step: u32) -> Columns {
        Columns {
            step: Some(step),
            zero_is_gap: self.zero_is_gap,
            ..Columns::default()
        }
    }
}

/// A file of the folder of traces.
fn there(folder: &Path, file: &str) -> Result<PathBuf> {
    let path = folder.join(file);
    ensure!(
        path.exists(),
        "{}: it is not there; give the folder with --data DIR, or any trace with --trace FILE",
        path.display()
    );
    Ok(path)
}
