//! The project's own programs, built with cargo, and what the inference engine's build needs beside it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::freshness::{self, Freshness};
use crate::places::Places;
use crate::prerequisites::{self, on_path};
use crate::steps::Steps;

/// In which way the programs are built. Each has crates of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// As quickly as it can be had.
    #[default]
    Plain,
    /// Lints with it, and the tests.
    Linted,
    /// To be given to others.
    Release,
}

impl Build {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Linted => "linted",
            Self::Release => "release",
        }
    }

    /// Where cargo puts its programs.
    #[must_use]
    pub fn folder(self, places: &Places) -> PathBuf {
        match self {
            Self::Plain | Self::Linted => places.binaries.clone(),
            Self::Release => places.binaries.with_file_name("release"),
        }
    }

    /// What is to be done for a program.
    #[must_use]
    pub fn freshness(self, places: &Places, program: &str) -> Freshness {
        freshness::of(&self.folder(places), program, self, &places.repository)
    }
}

/// Environment for every cargo that is started from here.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    variables: Vec<(&'static str, OsString)>,
    build: Build,
}

impl Toolchain {
    /// Finds libclang, cmake and a C++ compiler for the engine; what a package of Python's can bring is fetched into
    /// the cache, so this needs no root.
    pub fn prepare(places: &Places, steps: &Steps) -> Result<Self> {
        if !on_path("c++") || !on_path("make") {
            bail!(
                "a C++ compiler and make are needed to build the inference engine: apt install g++ make"
            );
        }
        let mut variables = Vec::new();
        if !on_path("cmake") {
            let folder = fetched(places, steps, "cmake")?.join("cmake/data/bin");
            let mut path = folder.into_os_string();
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap_or_default());
            variables.push(("PATH", path));
        }
        if std::env::var_os("LIBCLANG_PATH").is_none() && prerequisites::system_libclang().is_none()
        {
            let folder = fetched(places, steps, "libclang")?.join("clang/native");
            variables.push(("LIBCLANG_PATH", folder.into_os_string()));
            // That package is the library alone; the compiler's own headers come from gcc.
            let include = command::output(Command::new("cc").arg("-print-file-name=include"))?;
            variables.push((
                "BINDGEN_EXTRA_CLANG_ARGS",
                format!("-I{}", include.trim()).into(),
            ));
        }
        Ok(Self {
            variables,
            build: Build::Plain,
        })
    }

    /// Lint while building: one build gives both the programs and the lints, and a lint is an error. The tests are
    /// built with the programs, since what they depend on gives the shared dependencies further features.
    #[must_use]
    pub fn for_tests(mut self) -> Self {
        self.build = Build::Linted;
        self.variables
            .push(("RUSTC_WORKSPACE_WRAPPER", "clippy-driver".into()));
        let separator = "__CLIPPY_HACKERY__";
        self.variables.push((
            "CLIPPY_ARGS",
            format!("-D{separator}warnings{separator}").into(),
        ));
        self
    }

    /// Build what others are to run.
    #[must_use]
    pub fn for_release(mut self) -> Self {
        self.build = Build::Release;
        self
    }

    /// A cargo in the repository.
    #[must_use]
    pub fn cargo(&self, places: &Places) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&places.repository);
        cargo.envs(self.variables.iter().map(|(name, value)| (name, value)));
        cargo
    }

    /// Builds one program, and gives its path.
    ///
    /// The whole workspace is selected each time: with a part of it, cargo would choose other features for what is
    /// shared, and build that twice.
    pub fn build(
        &self,
        places: &Places,
        steps: &Steps,
        step: &str,
        program: &str,
    ) -> Result<PathBuf> {
        let mut cargo = self.cargo(places);
        cargo.args(["build", "--workspace"]);
        match self.build {
            Build::Plain => cargo.args(["--bin", program]),
            Build::Linted => cargo.args(["--bins", "--tests"]),
            Build::Release => cargo.args(["--release", "--bin", program]),
        };
        let folder = self.build.folder(places);
        let begun = freshness::begin(&folder, program, self.build)?;
        let compiled = AtomicU32::new(0);
        command::watched(&mut cargo, |line| show(steps, step, &compiled, line))
            .with_context(|| format!("failed to build {program}"))?;
        begun.succeeded()?;
        let path = folder.join(program);
        if !path.exists() {
            bail!("cargo built {program}, but it is not at {}", path.display());
        }
        Ok(path)
    }
}

/// Cargo's hundreds of lines as a few; everything that is not progress is shown.
pub fn show(steps: &Steps, step: &str, compiled: &AtomicU32, line: &str) {
    let text = line.trim_start();
    if let Some(package) = text.strip_prefix("Compiling ") {
        let count = compiled.fetch_add(1, Ordering::Relaxed) + 1;
        let name = package.split(' ').next().unwrap_or(package);
        steps.mention(step, &format!("{count} crates, now {name}"));
    } else if text.starts_with("Downloading")
        || text.starts_with("Downloaded")
        || text.starts_with("Blocking")
    {
        steps.mention(step, text);
    } else if !text.starts_with("Finished") && !text.is_empty() {
        steps.say(step, line);
    }
}

/// A package of the Python index, unpacked into the cache.
fn fetched(places: &Places, steps: &Steps, package: &str) -> Result<PathBuf> {
    let folder = places.cache.join("python").join(package);
    if folder.exists() {
        return Ok(folder);
    }
    steps.say(
        "tools",
        &format!("fetching {package} (a Python package, used for building only)"),
    );
    if !prerequisites::pip_works() {
        let apt = if package == "libclang" {
            "libclang-dev"
        } else {
            package
        };
        bail!(
            "{package} is needed to build the inference engine: apt install {apt} (or python3-pip, to fetch it)"
        );
    }
    let partial = partial_folder(&folder)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(["--no-deps", "--only-binary=:all:", "--target"])
    .arg(&partial)
    .arg(package);
    command::output(&mut pip).with_context(|| format!("failed to fetch {package}"))?;
    fs::rename(&partial, &folder)
        .with_context(|| format!("failed to rename to {}", folder.display()))?;
    Ok(folder)
}

/// An empty folder beside the one wanted: that is either complete or absent.
pub fn partial_folder(folder: &Path) -> Result<PathBuf> {
    let partial = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&partial); // absent, unless an earlier try was interrupted
    fs::create_dir_all(&partial)
        .with_context(|| format!("failed to create {}", partial.display()))?;
    Ok(partial)
}
