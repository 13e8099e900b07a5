//! Whether what cargo built is as its sources are now: a plan calls ready only what is. Cargo itself decides when it
//! builds; this foretells it from the files that cargo noted beside the program.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::command;
use crate::rust_build::Build;

/// What cargo will have to do for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing.
    Fresh,
    /// Build what changed, and what depends on it.
    Outdated,
    /// Build everything.
    Missing,
}

impl Freshness {
    /// The minutes of a plan.
    #[must_use]
    pub fn minutes(self, outdated: f32, missing: f32) -> f32 {
        match self {
            Self::Fresh => 0.0,
            Self::Outdated => outdated,
            Self::Missing => missing,
        }
    }

    /// A word for a plan.
    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::Outdated => ", since its sources have changed",
            Self::Fresh | Self::Missing => "",
        }
    }
}

/// Asks of a program in cargo's folder, built in this way.
#[must_use]
pub fn of(folder: &Path, program: &str, build: Build, repository: &Path) -> Freshness {
    let stamp = stamp(folder, program, build);
    if !folder.join(program).exists() {
        return Freshness::Missing;
    }
    let (Ok(compiler), Some(since)) = (fs::read_to_string(&stamp), changed(&stamp)) else {
        // Built, and not from here: it may be in another way.
        return Freshness::Outdated;
    };
    if compiler != self::compiler() {
        return Freshness::Missing;
    }
    let Ok(noted) = fs::read_to_string(folder.join(format!("{program}.d"))) else {
        return Freshness::Outdated;
    };
    let older = |source: &PathBuf| changed(source).is_some_and(|changed| changed <= since);
    if sources(&noted, repository).iter().all(older) {
        Freshness::Fresh
    } else {
        Freshness::Outdated
    }
}

/// Notes that a build begins; [`Begun::succeeded`] keeps that time, and what is changed later is newer.
pub fn begin(folder: &Path, program: &str, build: Build) -> Result<Begun> {
    let stamp = stamp(folder, program, build);
    let partial = stamp.with_extension("partial");
    let failed = || format!("failed to write {}", partial.display());
    fs::create_dir_all(folder).with_context(failed)?;
    fs::write(&partial, compiler()).with_context(failed)?;
    Ok(Begun { partial, stamp })
}

/// A build under way.
pub struct Begun {
    partial: PathBuf,
    stamp: PathBuf,
}

impl Begun {
    /// The program is as its sources were at the beginning.
    pub fn succeeded(self) -> Result<()> {
        fs::rename(&self.partial, &self.stamp)
            .with_context(|| format!("failed to write {}", self.stamp.display()))
    }
}

fn stamp(folder: &Path, program: &str, build: Build) -> PathBuf {
    folder.join(format!(".{program}.{}.built", build.name()))
}

/// Another compiler builds everything anew.
fn compiler() -> String {
    command::output(Command::new("rustc").arg("-vV")).unwrap_or_default()
}

fn changed(path: &Path) -> Option<SystemTime> {
    File::open(path).ok()?.metadata().ok()?.modified().ok()
}

/// The files in cargo's note (`program: file file …`), the manifests of their crates, and what is everybody's.
fn sources(noted: &str, repository: &Path) -> BTreeSet<PathBuf> {
    let mut sources: BTreeSet<PathBuf> = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"]
        .into_iter()
        .map(|file| repository.join(file))
        .collect();
    let files = noted.split_once(": ").map_or("", |(_, files)| files);
    // A space in a name is written with a backslash.
    let files = files.trim_end().replace("\\ ", "\0");
    for file in files.split(' ').filter(|file| !file.is_empty()) {
        let file = PathBuf::from(file.replace('\0', " "));
        let manifest = file
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(repository))
            .map(|folder| folder.join("Cargo.toml"))
            .find(|manifest| manifest.exists());
        sources.extend(manifest);
        sources.insert(file);
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A repository with one crate, and a program that was built from it.
    struct Built {
        repository: PathBuf,
        target: PathBuf,
    }

    impl Built {
        fn new(name: &str) -> Self {
            let process = std::process::id();
            let repository = std::env::temp_dir().join(format!("chatbot e2e {name} {process}"));
            let built = Self {
                target: repository.join("target"),
                repository,
            };
            let source = built.file("crate/src/main.rs");
            for file in [
                "Cargo.toml",
                "Cargo.lock",
                ".cargo/config.toml",
                "crate/Cargo.toml",
            ] {
                built.file(file);
            }
            let begun = begin(&built.target, "program", Build::Plain).unwrap();
            built.file("target/program");
            let escaped = source.to_str().unwrap().replace(' ', "\\ ");
            fs::write(
                built.target.join("program.d"),
                format!("program: {escaped}\n"),
            )
            .unwrap();
            begun.succeeded().unwrap();
            built
        }

        fn file(&self, path: &str) -> PathBuf {
            let path = self.repository.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        }

        /// As an editor does it a minute later.
        fn edit(&self, path: &str) {
            let file = File::options().write(true).open(self.repository.join(path));
            let later = SystemTime::now() + Duration::from_mins(1);
            file.unwrap().set_modified(later).unwrap();
        }

        fn freshness(&self, build: Build) -> Freshness {
            of(&self.target, "program", build, &self.repository)
        }
    }

    impl Drop for Built {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.repository);
        }
    }

    #[test]
    fn a_program_is_ready_until_one_of_its_sources_changes() {
        for edited in ["crate/src/main.rs", "crate/Cargo.toml", "Cargo.lock"] {
            let built = Built::new(&edited.replace('/', "-"));
            assert_eq!(built.freshness(Build::Plain), Freshness::Fresh);
            built.edit(edited);
            assert_eq!(
                built.freshness(Build::Plain),
                Freshness::Outdated,
                "{edited}"
            );
        }
    }

    #[test]
    fn a_source_that_is_gone_is_a_change() {
        let built = Built::new("gone");
        fs::remove_file(built.repository.join("crate/src/main.rs")).unwrap();
        assert_eq!(built.freshness(Build::Plain), Freshness::Outdated);
    }

    #[test]
    fn a_program_built_in_one_way_is_not_ready_in_another() {
        let built = Built::new("way");
        assert_eq!(built.freshness(Build::Linted), Freshness::Outdated);
    }

    #[test]
    fn another_compiler_builds_everything() {
        let built = Built::new("compiler");
        fs::write(stamp(&built.target, "program", Build::Plain), "rustc 1.0.0").unwrap();
        assert_eq!(built.freshness(Build::Plain), Freshness::Missing);
        fs::remove_file(built.target.join("program")).unwrap();
        assert_eq!(built.freshness(Build::Plain), Freshness::Missing);
    }

    #[test]
    fn a_build_that_failed_leaves_the_program_outdated() {
        let built = Built::new("failed");
        built.edit("crate/src/main.rs");
        drop(begin(&built.target, "program", Build::Plain).unwrap());
        assert_eq!(built.freshness(Build::Plain), Freshness::Outdated);
    }
}
