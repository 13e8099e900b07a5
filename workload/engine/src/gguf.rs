//! Reading the header of a GGUF file: what is in it, and whether all of it is there.
//!
//! The engine maps the file into memory, and a page that lies behind its end kills the process; so a file that is not
//! whole is refused before it is mapped.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use thiserror::Error;

const MAGIC: &[u8; 4] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// No model has a name, template or key longer than this; a longer one is damage, not data.
const LONGEST_TEXT: u64 = 16 << 20;

/// What a model's file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The weight format that holds most of the parameters, such as `Q8_0`.
    pub format: String,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Of these, before the weights.
    pub header_bytes: u64,
    /// Parameters.
    pub parameters: u64,
}

/// Why a file cannot be used as a model.
#[derive(Debug, Error)]
pub enum Broken {
    /// There is none.
    #[error("no model at `{}`: put a GGUF file there, or name the file that is the model", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(
        "failed to read the model `{}` ({source}): let the user that this runs as read the file, and search the folders \
         that it is in",
        path.display()
    )]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` ({bytes} bytes) is not a GGUF file ({found}): name a GGUF file, or convert the model to GGUF first", path.display())]
    NotGguf {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        found: String,
        /// Its size.
        bytes: u64,
    },
    /// It is a version that the engine does not read.
    #[error("`{}` is GGUF version {version}, and versions 2 and 3 can be read: convert the model anew", path.display())]
    Version {
        /// The path.
        path: PathBuf,
        /// The version.
        version: u32,
    },
    /// Its end is missing.
    #[error("the model `{}` is truncated: {}: copy or fetch it again", path.display(), shortfall(*has, *needs))]
    Truncated {
        /// The path.
        path: PathBuf,
        /// Its size.
        has: u64,
        /// The size it must have; absent when it ends before that is said.
        needs: Option<u64>,
    },
    /// Its header contradicts itself.
    #[error("the model `{}` ({bytes} bytes) is damaged: {what}: copy or fetch it again", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// Its size.
        bytes: u64,
    },
}

fn shortfall(has: u64, needs: Option<u64>) -> String {
    match needs {
        Some(needs) => format!("it has {has} of {needs} bytes"),
        None => format!("it ends after {has} bytes, within its header"),
    }
}

/// Reads the header and checks that every tensor lies within the file.
pub fn read(path: &Path) -> Result<Header, Broken> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Broken::Missing {
            path: path.to_owned(),
        },
        _ => Broken::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        let found = "it is a folder".to_owned();
        return Err(Broken::NotGguf {
            path: path.to_owned(),
            found,
            bytes: metadata.len(),
        });
    }
    let mut reader = Reader {
        input: BufReader::new(file),
        bytes: metadata.len(),
    };
    reader.header(path).map_err(|fault| match fault {
        Fault::Broken(broken) => broken,
        Fault::Damaged(what) => Broken::Damaged {
            path: path.to_owned(),
            what,
            bytes: metadata.len(),
        },
        Fault::Input(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            Broken::Truncated {
                path: path.to_owned(),
                has: metadata.len(),
                needs: None,
            }
        }
        Fault::Input(source) => unreadable(source),
    })
}

enum Fault {
    Input(io::Error),
    Damaged(String),
    Broken(Broken),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

struct Reader {
    input: BufReader<File>,
    bytes: u64,
}

impl Reader {
    fn header(&mut self, path: &Path) -> Result<Header, Fault> {
        self.magic(path)?;
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(Fault::Broken(Broken::Version {
                path: path.to_owned(),
                version,
            }));
        }
        let tensors = self.u64()?;
        let entries = self.u64()?;
        let mut alignment = DEFAULT_ALIGNMENT;
        for _ in 0..entries {
            let key = self.text()?;
            let kind = self.u32()?;
            if key == "general.alignment" && kind == 4 {
                alignment = u64::from(self.u32()?);
            } else {
                self.skip_value(kind, 0)?;
            }
        }
        if alignment == 0 || !alignment.is_power_of_two() {
            return Err(Fault::Damaged(format!("its alignment is {alignment}")));
        }
        self.tensors(path, tensors, alignment)
    }

    fn magic(&mut self, path: &Path) -> Result<(), Fault> {
        let mut beginning = Vec::new();
        self.input.by_ref().take(4).read_to_end(&mut beginning)?;
        if beginning == MAGIC {
            return Ok(());
        }
        let found = match beginning.as_slice() {
            [] => "it is empty".to_owned(),
            b"vers" => "it is a Git LFS pointer, not the model itself".to_owned(),
            b"PK\x03\x04" => "it is a zip archive".to_owned(),
            _ => format!("it begins with `{}`", beginning.escape_ascii()),
        };
        Err(Fault::Broken(Broken::NotGguf {
            path: path.to_owned(),
            found,
            bytes: self.bytes,
        }))
    }

    fn tensors(&mut self, path: &Path, tensors: u64, alignment: u64) -> Result<Header, Fault> {
        let mut parameters = 0_u64;
        let mut end = 0_u64;
        let mut formats = std::collections::BTreeMap::<String, u64>::new();
        for _ in 0..tensors {
            let name = self.text()?;
            let dimensions = self.u32()?;
            let damaged = |what: &str| Fault::Damaged(format!("tensor `{name}` {what}"));
            if dimensions > 8 {
                return Err(damaged("has more than 8 dimensions"));
            }
            let mut elements = 1_u64;
            for _ in 0..dimensions {
                elements = elements
                    .checked_mul(self.u64()?)
                    .ok_or_else(|| damaged("is too large"))?;
            }
            let kind = self.u32()?;
            let offset = self.u64()?;
            let (format, size) = match format(kind) {
                Some((format, block, bytes)) => {
                    (format.to_owned(), (elements / block).checked_mul(bytes))
                }
                // A newer format than this list: that it begins within the file is all that can be said.
                None => (format!("type {kind}"), Some(0)),
            };
            end = size
                .and_then(|size| offset.checked_add(size))
                .ok_or_else(|| damaged("is too large"))?
                .max(end);
            parameters = parameters
                .checked_add(elements)
                .ok_or_else(|| damaged("is too large"))?;
            *formats.entry(format).or_default() += elements;
        }
        let header_bytes = self.input.stream_position()?.next_multiple_of(alignment);
        let needs = header_bytes
            .checked_add(end)
            .ok_or_else(|| Fault::Damaged("it is too large".to_owned()))?;
        if needs > self.bytes {
            return Err(Fault::Broken(Broken::Truncated {
                path: path.to_owned(),
                has: self.bytes,
                needs: Some(needs),
            }));
        }
        let format = formats
            .into_iter()
            .max_by_key(|(_, elements)| *elements)
            .map(|(format, _)| format);
        Ok(Header {
            format: format.ok_or_else(|| Fault::Damaged("it has no tensors".to_owned()))?,
            bytes: self.bytes,
            header_bytes,
            parameters,
        })
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Result<String, Fault> {
        let length = self.u64()?;
        if length > LONGEST_TEXT {
            return Err(Fault::Damaged(format!(
                "a text in its header has {length} bytes"
            )));
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(Fault::Input(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Skips a value of the header. Arrays of arrays are allowed by the format, but not without end.
    fn skip_value(&mut self, kind: u32, depth: u8) -> Result<(), Fault> {
        match kind {
            0 | 1 | 7 => self.skip(1),
            2 | 3 => self.skip(2),
            4..=6 => self.skip(4),
            8 => self.text().map(|_| ()),
            9 if depth < 4 => {
                let kind = self.u32()?;
                let length = self.u64()?;
                (0..length).try_for_each(|_| self.skip_value(kind, depth + 1))
            }
            10..=12 => self.skip(8),
            _ => Err(Fault::Damaged(format!(
                "its header has a value of the unknown type {kind}"
            ))),
        }
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Fault> {
        let mut skipped = [0; 8];
        Ok(self.input.read_exact(&mut skipped[..bytes])?)
    }
}

/// Name, elements per block and bytes per block of a tensor type.
fn format(kind: u32) -> Option<(&'static str, u64, u64)> {
    Some(match kind {
        0 => ("F32", 1, 4),
        1 => ("F16", 1, 2),
        2 => ("Q4_0", 32, 18),
        3 => ("Q4_1", 32, 20),
        6 => ("Q5_0", 32, 22),
        7 => ("Q5_1", 32, 24),
        8 => ("Q8_0", 32, 34),
        10 => ("Q2_K", 256, 84),
        11 => ("Q3_K", 256, 110),
        12 => ("Q4_K", 256, 144),
        13 => ("Q5_K", 256, 176),
        14 => ("Q6_K", 256, 210),
        20 => ("IQ4_NL", 32, 18),
        23 => ("IQ4_XS", 256, 136),
        24 => ("I8", 1, 1),
        25 => ("I16", 1, 2),
        26 => ("I32", 1, 4),
        27 => ("I64", 1, 8),
        28 => ("F64", 1, 8),
        30 => ("BF16", 1, 2),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
