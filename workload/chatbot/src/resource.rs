//! The resource's file, or standard input, as text.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

/// More than an API server takes of one resource.
const LARGEST: u64 = 3 << 20;

/// The file's name for a person; `-` is standard input, as with `kubectl`.
pub fn shown(file: &Path) -> String {
    if is_input(file) {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

/// Reads it, or says what it is instead of a resource.
pub fn read(file: &Path) -> Result<String> {
    let shown = shown(file);
    let mut bytes = Vec::new();
    let outcome = if is_input(file) {
        read_most(io::stdin().lock(), &mut bytes)
    } else {
        File::open(file).and_then(|file| read_most(file, &mut bytes))
    };
    outcome.with_context(|| {
        format!("failed to read `{shown}`: name the resource's file with --file")
    })?;
    if bytes.starts_with(b"GGUF") {
        bail!(
            "`{shown}` is a model (GGUF) and no resource: name the model with --model, and the resource's file with \
             --file"
        );
    }
    if bytes.contains(&0) {
        bail!("`{shown}` is a binary file: name the resource's file (YAML) with --file");
    }
    if bytes.len() as u64 > LARGEST {
        bail!(
            "`{shown}` has more than the {LARGEST} bytes that a resource can have: name the resource's file with --file"
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let read = String::from_utf8_lossy(&error.as_bytes()[..place]);
        let line = 1 + read.matches('\n').count();
        anyhow!("`{shown}` is not UTF-8 in line {line}: save it as UTF-8")
    })
}

fn is_input(file: &Path) -> bool {
    file == Path::new("-")
}

fn read_most(from: impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    from.take(LARGEST + 1).read_to_end(bytes)
}
