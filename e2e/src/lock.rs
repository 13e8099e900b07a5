//! One command at a time changes the cluster.

use std::fs::{self, File, TryLockError};

use anyhow::{Context, Result, bail};

use crate::places::Places;

/// Held until it is dropped; the kernel lets go of it when the process ends, however that happens.
pub struct Lock(#[allow(dead_code)] File);

/// Takes the lock, or says who has it.
pub fn take(places: &Places) -> Result<Lock> {
    fs::create_dir_all(&places.cache)
        .with_context(|| format!("failed to create {}", places.cache.display()))?;
    let path = places.cache.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("failed to open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => bail!(
            "another `cargo e2e up`, `down` or `test` is at work here ({} is locked): wait until it has ended",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
        }
    }
}
