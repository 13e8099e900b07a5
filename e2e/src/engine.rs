//! Another server of `OpenAI`'s API than the built-in one, for the scenario that runs it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::images::{self, Image};
use crate::places::Places;

/// The image's name.
const NAME: &str = "other-engine";

/// Builds the server and packs its image.
pub fn image(places: &Places) -> Result<Image> {
    let folder = places.cache.join("images");
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    let mut build = Command::new("go");
    build
        // Static, without a module: it needs nothing but the standard library.
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(folder.join(NAME))
        .arg(places.repository.join("e2e/images/engine/main.go"));
    command::output(&mut build)?;
    images::addon(places, &folder, NAME)
}
