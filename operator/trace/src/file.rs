//! Trace files, and how they are named on the command line.

use std::fs::File;
use std::io::{ErrorKind, Read, Write, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chatbot_forecast::trace::{Reading, Series, read};
use clap::Args;
use flate2::read::MultiGzDecoder;

/// The most bytes of a trace, uncompressed.
const LARGEST: u64 = 1 << 30;

/// A trace and how it is read.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// A trace of load: CSV with a header line, also compressed with gzip.
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// What of it is read.
    #[command(flatten)]
    pub columns: Columns,
}

/// What of a trace is read.
#[derive(Args, Clone, Debug, Default)]
pub struct Columns {
    /// Column of times: seconds, or date and time (UTC unless it says otherwise). Absent: the first one.
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// Column of values. Absent: the second one.
    #[arg(long, value_name = "COLUMN")]
    pub value: Option<String>,
    /// Seconds of a step; several rows of one step are averaged. Absent: the distance of two rows.
    #[arg(long, value_name = "SECONDS")]
    pub step: Option<u32>,
    /// Values are running totals, as a Prometheus counter's: their rise per second is taken.
    #[arg(long)]
    pub counter: bool,
    /// A value of 0 was no load, but a failure to record it.
    #[arg(long)]
    pub zero_is_gap: bool,
}

impl Columns {
    fn reading(&self) -> Reading {
        Reading {
            time: self.time.clone(),
            value: self.value.clone(),
            step: self.step,
            counter: self.counter,
            zero_is_gap: self.zero_is_gap,
        }
    }
}

impl Source {
    /// Reads it; errors name the file, the line, the column, the value and the remedy.
    pub fn series(&self) -> Result<Series> {
        series(&self.trace, &self.columns)
    }

    /// The file's name without folders and endings.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.trace)
    }
}

/// A file's name without folders and endings.
#[must_use]
pub fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().to_owned()
}

/// Reads a trace. What looks as if it were meant otherwise is said on standard error.
pub fn series(path: &Path, columns: &Columns) -> Result<Series> {
    let bytes = bytes(path)?;
    let series = read(&bytes, &columns.reading())
        .with_context(|| format!("failed to read the trace {}", path.display()))?;
    if !columns.counter && hardly_falls(&series) {
        let note = format!(
            "note: {}: the values hardly ever fall; if they are running totals, as a counter's, give --counter\n",
            path.display()
        );
        say(stderr(), &note)?;
    }
    Ok(series)
}

/// Whether a hundred values rise for each one that falls.
fn hardly_falls(series: &Series) -> bool {
    let values: Vec<f64> = series.values.iter().flatten().copied().collect();
    let pairs = || values.windows(2);
    let rises = pairs().filter(|pair| pair[1] > pair[0]).count();
    let falls = pairs().filter(|pair| pair[1] < pair[0]).count();
    rises >= 100 && rises >= 100 * falls
}

/// Writes what a person reads. Somebody who has read enough, as `head` has, is no failure.
pub fn say(mut to: impl Write, text: &str) -> Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        _ => Ok(()),
    }
}

/// Reads a file, and uncompresses it when it is compressed.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("failed to read {}", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let mut start = [0; 2];
    let got = file.read(&mut start).with_context(failed)?;
    let whole = (&start[..got]).chain(file);
    let mut bytes = Vec::new();
    if start[..got] == [0x1f, 0x8b] {
        let unpacked = MultiGzDecoder::new(whole)
            .take(LARGEST + 1)
            .read_to_end(&mut bytes);
        unpacked.with_context(|| format!("failed to uncompress {}", path.display()))?;
    } else {
        whole
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .with_context(failed)?;
    }
    ensure!(
        bytes.len() as u64 <= LARGEST,
        "{}: more than {LARGEST} bytes uncompressed; give a part of it",
        path.display()
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(name: &str, bytes: &[u8]) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("chatbot-trace-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("is written");
        path
    }

    #[test]
    fn running_totals_are_told_from_a_load() {
        let series = |value: fn(u32) -> f64| Series {
            begin: jiff::Timestamp::UNIX_EPOCH,
            step: 600,
            values: (0..1_000).map(value).map(Some).collect(),
        };
        // Two resets are a counter's, too.
        assert!(hardly_falls(&series(|slot| f64::from(slot % 400))));
        assert!(!hardly_falls(&series(|slot| f64::from(slot % 10))));
        assert!(!hardly_falls(&series(|_| 7.0)));
    }

    #[test]
    fn a_reader_who_has_read_enough_is_no_failure() {
        struct Closed(ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert!(say(Closed(ErrorKind::BrokenPipe), "text").is_ok());
        assert!(say(Closed(ErrorKind::StorageFull), "text").is_err());
    }

    #[test]
    fn a_compressed_trace_reads_as_the_plain_one() {
        let plain = b"time,load\n0,1\n600,2\n1200,3\n";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(plain).expect("packs");
        let of = |path: &Path| series(path, &Columns::default()).expect("is read");
        let one = of(&written("a.csv", plain));
        let other = of(&written("a.csv.gz", &packed.finish().expect("packs")));
        assert_eq!(one, other);
        assert_eq!(one.values, [Some(1.0), Some(2.0), Some(3.0)]);
    }

    #[test]
    fn an_error_names_file_line_column_value_and_remedy() {
        let path = written("b.csv", b"time,load\n0,1\n600,lots\n");
        let error = format!(
            "{:#}",
            series(&path, &Columns::default()).expect_err("is refused")
        );
        for part in ["b.csv", "line 3", "\"load\"", "\"lots\"", "give a number"] {
            assert!(error.contains(part), "{part} is missing: {error}");
        }
    }

    #[test]
    fn a_file_cut_off_while_compressed_is_refused() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed
            .write_all(&b"time,load\n0,1\n600,2\n".repeat(50))
            .expect("packs");
        let bytes = packed.finish().expect("packs");
        let path = written("c.csv.gz", &bytes[..bytes.len() / 2]);
        let error = format!(
            "{:#}",
            series(&path, &Columns::default()).expect_err("is refused")
        );
        assert!(error.contains("failed to uncompress"), "{error}");
    }
}
