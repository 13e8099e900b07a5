//! `chatbot receive`: standard input becomes a file, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Writes what comes to a file, when it is what was meant.
pub fn receive(mut from: impl Read, to: &Path, sha256: &str) -> Result<()> {
    let partial = to.with_extension("partial");
    let failed = || format!("failed to write {}", partial.display());
    let mut file = File::create(&partial).with_context(failed)?;
    let mut hash = Sha256::new();
    let mut bytes = vec![0; 1 << 20];
    loop {
        let length = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("failed to read the input"),
        };
        hash.update(&bytes[..length]);
        file.write_all(&bytes[..length]).with_context(failed)?;
    }
    file.sync_all().with_context(failed)?;
    let received = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat();
    if !received.eq_ignore_ascii_case(sha256) {
        let _ = fs::remove_file(&partial); // of no use, and no harm
        bail!("what was received has sha256 {received}, expected is {sha256}: send it again");
    }
    fs::rename(&partial, to).with_context(|| format!("failed to rename to {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        let refused = receive(&b"hel"[..], &file, OF_HELLO).unwrap_err();
        assert!(refused.to_string().contains("send it again"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        receive(&b"hello"[..], &file, OF_HELLO).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"hello");
    }
}
