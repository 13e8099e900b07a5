//! Converting a model's weights to another format.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::gguf::{self, Broken, Header};
use crate::native;

/// Formats that weights can be converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8 bits and a scale per 32 weights: 8.5 bits per weight.
    Q8_0,
}

impl Format {
    fn code(self) -> llama_cpp_sys_2::llama_ftype {
        match self {
            Self::F32 => llama_cpp_sys_2::LLAMA_FTYPE_ALL_F32,
            Self::F16 => llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_F16,
            Self::Q8_0 => llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_Q8_0,
        }
    }

    /// Bytes of a file with these weights; a little less is possible, since small tensors keep their format.
    fn expected_bytes(self, from: &Header) -> u64 {
        let weights = match self {
            Self::F32 => from.parameters.saturating_mul(4),
            Self::F16 => from.parameters.saturating_mul(2),
            Self::Q8_0 => from.parameters.saturating_mul(34) / 32,
        };
        weights.saturating_add(from.header_bytes)
    }
}

/// Why a model was not converted. Nothing is left behind, and a file that was there before is untouched.
#[derive(Debug, Error)]
pub enum ConvertError {
    /// The model to convert cannot be used.
    #[error(transparent)]
    From(#[from] Broken),
    /// The new file cannot be written.
    #[error("failed to write `{}` ({source}): name a file in a folder that exists and can be written to", path.display())]
    To {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no room for it.
    #[error("no space for `{}`: it needs {needs} bytes and {free} are free: free some, or name another folder", path.display())]
    NoSpace {
        /// The path.
        path: PathBuf,
        /// Bytes needed.
        needs: u64,
        /// Bytes free.
        free: u64,
    },
    /// The engine gave up.
    #[error("failed to convert `{}`: {reason}", path.display())]
    Engine {
        /// The model's path.
        path: PathBuf,
        /// What the engine says.
        reason: String,
    },
}

/// Writes the model at `from` to `to` with its weights in `format`, and tells about its progress, 0 to 1. The new
/// file appears whole, in place of one that may be there, or not at all.
pub fn convert(
    from: &Path,
    to: &Path,
    format: Format,
    mut progress: impl FnMut(f64),
) -> Result<Header, ConvertError> {
    let header = gguf::read(from)?;
    let needs = format.expected_bytes(&header);
    let unwritable = |source: std::io::Error| ConvertError::To {
        path: to.to_owned(),
        source,
    };
    let name = to
        .file_name()
        .ok_or_else(|| unwritable(std::io::ErrorKind::InvalidFilename.into()))?;
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let disk = rustix::fs::statvfs(folder).map_err(|error| unwritable(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needs {
        return Err(ConvertError::NoSpace {
            path: to.to_owned(),
            needs,
            free,
        });
    }
    let partial = Partial(folder.join(format!(
        ".{}.{}.partial",
        name.to_string_lossy(),
        std::process::id()
    )));
    // Tried here first: the engine's own message does not say why a file cannot be created.
    std::fs::File::create(&partial.0).map_err(unwritable)?;

    let outcome = std::thread::scope(|scope| {
        let work = scope.spawn(|| run(from, &partial.0, format));
        while !work.is_finished() {
            let written = std::fs::metadata(&partial.0).map_or(0, |file| file.len());
            progress((written as f64 / needs as f64).min(1.0));
            std::thread::sleep(Duration::from_millis(50));
        }
        work.join()
            .unwrap_or_else(|_| Err("its thread ended".to_owned()))
    });
    outcome.map_err(|reason| ConvertError::Engine {
        path: from.to_owned(),
        reason,
    })?;
    let converted = gguf::read(&partial.0)?;
    std::fs::File::open(&partial.0)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&partial.0, to))
        .map_err(unwritable)?;
    progress(1.0);
    Ok(converted)
}

fn run(from: &Path, to: &Path, format: Format) -> Result<(), String> {
    native::backend().ok_or("the library is in use already")?;
    let path =
        |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string());
    let (from, to) = (path(from)?, path(to)?);
    // SAFETY: the function only returns a value.
    let mut parameters = unsafe { llama_cpp_sys_2::llama_model_quantize_default_params() };
    parameters.ftype = format.code();
    parameters.allow_requantize = true;
    // SAFETY: both paths end with NUL and outlive the call, the parameters hold no pointers beyond their defaults,
    // and the function catches its own exceptions.
    let code = unsafe {
        llama_cpp_sys_2::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const parameters)
    };
    if code == 0 {
        Ok(())
    } else {
        Err(native::last_error())
    }
}

/// A file that is removed unless it has been renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_none_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("model.gguf");
        std::fs::write(&from, b"GGUF").unwrap();
        let to = folder.path().join("out.gguf");
        let error = convert(&from, &to, Format::Q8_0, |_| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("truncated"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
