//! `cargo e2e images`: the project's own images for clusters elsewhere, as archives, built in release.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::images;
use crate::install::OwnImages;
use crate::places::Places;
use crate::rust_build::{Build, Toolchain};
use crate::steps::{Step, Steps};

/// The programs, built.
pub struct Programs {
    operator: PathBuf,
    chatbot: PathBuf,
}

impl Programs {
    /// The service's.
    #[must_use]
    pub fn chatbot(&self) -> &Path {
        &self.chatbot
    }
}

/// Where archives go when nobody says where.
#[must_use]
pub fn default_folder(places: &Places) -> PathBuf {
    places.cache.join("released-images")
}

/// What building them takes, as lines of a plan.
#[must_use]
pub fn plan(places: &Places) -> Vec<Step> {
    let freshness = |program| Build::Release.freshness(places, program);
    let (chatbot, operator) = (freshness("chatbot"), freshness("chatbot-operator"));
    vec![
        Step::new(
            "chatbot",
            chatbot.minutes(3.0, 10.0),
            format!(
                "build the service and its inference engine, in release{}",
                chatbot.note()
            ),
        ),
        Step::new(
            "operator",
            operator.minutes(2.0, 4.0),
            format!("build the operator, in release{}", operator.note()),
        ),
    ]
}

/// Builds the programs.
pub fn build(places: &Places, steps: &Steps) -> Result<Programs> {
    let toolchain = Toolchain::prepare(places, steps)?.for_release();
    let build = |step, program| steps.run(step, || toolchain.build(places, steps, step, program));
    Ok(Programs {
        chatbot: build("chatbot", "chatbot")?,
        operator: build("operator", "chatbot-operator")?,
    })
}

/// Packs them into a folder, under the names that they have in a registry.
pub fn pack(
    places: &Places,
    programs: &Programs,
    repository: &str,
    folder: &Path,
) -> Result<OwnImages> {
    check_repository(repository)?;
    check_tools()?;
    create_folder(folder)?;
    let pack = |name: &str, program: &Path| {
        let archive = folder.join(format!("{name}.tar"));
        images::released(places, name, program, repository, &archive)
    };
    Ok(OwnImages {
        operator: pack("operator", &programs.operator)?,
        chatbot: pack("chatbot", &programs.chatbot)?,
    })
}

/// The content of each image as a folder named for it: for `e2e/images/Containerfile`.
pub fn unpack(places: &Places, programs: &Programs, folder: &Path) -> Result<()> {
    for (name, program) in [
        ("operator", &programs.operator),
        ("chatbot", &programs.chatbot),
    ] {
        images::unpacked(places, name, program, &folder.join(name))?;
    }
    Ok(())
}

/// How the archives come to a cluster's nodes.
#[must_use]
pub fn instructions(images: &OwnImages, repository: &str) -> String {
    let mut text = String::new();
    for image in [&images.operator, &images.chatbot] {
        let _ = writeln!(text, "  {}\n      {}", image.archive.display(), image.name);
    }
    let each = |text: &mut String, before: &str| {
        for image in [&images.operator, &images.chatbot] {
            let _ = writeln!(text, "  {before} {}", image.archive.display());
        }
    };
    if repository == images::LOCAL {
        let _ = writeln!(text, "\nwith kind, into every node of its cluster:");
        each(&mut text, "kind load image-archive");
        let _ = writeln!(text, "\nwith containerd, on every node:");
        each(&mut text, "ctr --namespace k8s.io images import");
        let _ = writeln!(
            text,
            "\nby way of a registry: `cargo e2e images --repository registry.example.com/team` names them for it, and \
             says how to push them"
        );
    } else {
        let _ = writeln!(text, "\nwith Docker or Podman:");
        each(&mut text, "docker load --input");
        for image in [&images.operator, &images.chatbot] {
            let _ = writeln!(text, "  docker push {}", image.name);
        }
        let _ = writeln!(text, "\nwith skopeo, without a daemon:");
        for image in [&images.operator, &images.chatbot] {
            let archive = image.archive.display();
            let _ = writeln!(
                text,
                "  skopeo copy oci-archive:{archive} docker://{}",
                image.name
            );
        }
    }
    text
}

/// A registry's name and a path in it, without tag.
fn check_repository(repository: &str) -> Result<()> {
    let (first, path) = repository
        .split_once('/')
        .map_or((repository, None), |(first, path)| (first, Some(path)));
    let (host, port) = match first.split_once(':') {
        Some((host, port)) if path.is_some() => (host, port),
        _ => (first, "443"),
    };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_path = path.is_none_or(|path| path.split('/').all(is_component));
    if !(is_component(host) && is_port && is_path) {
        bail!(
            "--repository {repository}: must be a registry and a path in it, in lower case and without tag, such as \
             registry.example.com/team"
        );
    }
    Ok(())
}

/// One component of an image's path, by the grammar of references; a host's name is one too.
fn is_component(text: &str) -> bool {
    let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    text.starts_with(plain)
        && text.ends_with(plain)
        && text.split(plain).all(|between| {
            matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))
}

/// What packing needs and a machine may lack.
fn check_tools() -> Result<()> {
    for tool in ["jq", "tar", "strip", "ldd", "sha256sum"] {
        if !crate::prerequisites::on_path(tool) {
            let package = if tool == "strip" { "binutils" } else { tool };
            bail!("{tool} is needed to pack the images: apt install {package}");
        }
    }
    Ok(())
}

/// The whole command.
pub fn run(places: &Places, repository: &str, output: &Path, unpacked: bool) -> Result<String> {
    check_repository(repository)?;
    create_folder(output)?;
    let mut plan = plan(places);
    let what = format!("pack them into {}", output.display());
    plan.push(Step::new("images", 0.1, what));
    let total = plan.iter().map(|step| step.minutes).sum();
    let steps = Steps::begin(
        "cargo e2e images: the operator's and the service's image, for clusters elsewhere",
        &plan,
        total,
    );
    let programs = build(places, &steps)?;
    if unpacked {
        steps.run("images", || unpack(places, &programs, output))?;
        return Ok(format!("{}\n", steps.table()));
    }
    let images = steps.run("images", || pack(places, &programs, repository, output))?;
    Ok(format!(
        "{}\n\n{}",
        steps.table(),
        instructions(&images, repository)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_registry_and_a_path_without_tag() {
        for good in [
            "localhost/chatbot",
            "localhost:5000/team",
            "registry.example.com/a/b",
        ] {
            check_repository(good).unwrap();
        }
        for bad in [
            "",
            "registry.example.com/team:1",
            "registry.example.com/Team",
            "a b",
            "https://registry.example.com/team",
            "registry.example.com:/team",
            "registry.example.com//team",
            "registry.example.com/team/",
            "registry.example.com/a..b",
        ] {
            let refused = check_repository(bad).unwrap_err().to_string();
            assert!(
                refused.contains("such as registry.example.com/team"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_before_anything_is_built() {
        let nowhere = PathBuf::from("/nowhere");
        let places = Places {
            repository: nowhere.clone(),
            cache: nowhere.clone(),
            state: nowhere.clone(),
            binaries: nowhere,
        };
        let refused = run(&places, images::LOCAL, Path::new("/proc/x"), false).unwrap_err();
        assert_eq!(refused.to_string(), "failed to create /proc/x");
    }

    #[test]
    fn the_archives_are_pushed_only_where_there_is_a_registry() {
        let image = |name: &str| images::Image {
            name: format!("registry.example.com/team/{name}:1"),
            archive: PathBuf::from(format!("/images/{name}.tar")),
        };
        let images = OwnImages {
            operator: image("operator"),
            chatbot: image("chatbot"),
        };
        let text = instructions(&images, "registry.example.com/team");
        assert!(text.contains("docker push registry.example.com/team/chatbot:1"));
        let text = instructions(&images, images::LOCAL);
        assert!(text.contains("kind load image-archive /images/operator.tar"));
        assert!(!text.contains("docker push"), "{text}");
    }
}
