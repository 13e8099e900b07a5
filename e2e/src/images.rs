//! Images without a registry or a daemon: a folder with a program and the libraries it loads, packed by `image.sh`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::places::Places;
use crate::redis;
use crate::reference::Reference;

/// An image on disk, ready to be imported. Its tag is the hash of what is in it.
#[derive(Clone, Debug)]
pub struct Image {
    /// Name and tag.
    pub name: String,
    /// The archive to import.
    pub archive: PathBuf,
}

impl Image {
    /// Its name, in the parts that the chart's values have.
    pub fn reference(&self) -> Result<Reference> {
        self.name.parse()
    }
}

/// What an image is made of.
struct Recipe<'a> {
    name: &'a str,
    /// Programs, each at its path in the image; the first one is the entry point.
    programs: &'a [(&'a Path, &'a str)],
    /// Folders with all that is in them, each at its path in the image.
    trees: &'a [(&'a Path, &'a str)],
    /// Symbolic links: path in the image, target.
    links: &'a [(String, String)],
    user: &'a str,
}

/// Not root, and no user of the machine.
const USER: &str = "65532:65532";
/// What the images of the cluster on this machine are called: they are in no registry.
pub const LOCAL: &str = "localhost/chatbot";

/// The process that holds a pod's namespaces.
pub fn pause(places: &Places) -> Result<Image> {
    let source = places.repository.join("e2e/images/pause/pause.c");
    let program = places.cache.join("images/pause");
    fs::create_dir_all(places.cache.join("images"))
        .context("failed to create the folder of images")?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-Os", "-static", "-s", "-o"])
        .arg(&program)
        .arg(source);
    command::output(&mut compiler)?;
    one_program(places, "pause", &program, "0:0")
}

/// A program that was built for the cluster.
pub fn addon(places: &Places, programs: &Path, name: &str) -> Result<Image> {
    one_program(places, name, &programs.join(name), USER)
}

/// A program of a package, with a folder that it reads at the path that it was packaged with.
pub fn packaged(places: &Places, program: &Path, tree: &Path, at: &str) -> Result<Image> {
    let name = program.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name", program.display()))?;
    let path = format!("usr/bin/{name}");
    pack(
        places,
        &Recipe {
            name,
            programs: &[(program, &path)],
            trees: &[(tree, at)],
            links: &[],
            user: USER,
        },
    )
}

/// One of the project's own programs, without its debugging information.
pub fn own(places: &Places, name: &str, program: &Path) -> Result<Image> {
    let stripped = strip(places, name, program)?;
    let image = one_program(places, name, &stripped, USER);
    let _ = fs::remove_file(stripped);
    image
}

/// As [`own`], for others: at a place of their choice, under the name that it has in their registry.
pub fn released(
    places: &Places,
    name: &str,
    program: &Path,
    repository: &str,
    archive: &Path,
) -> Result<Image> {
    let stripped = strip(places, name, program)?;
    let path = format!("usr/bin/{name}");
    let recipe = Recipe {
        name,
        programs: &[(&stripped, &path)],
        trees: &[],
        links: &[],
        user: USER,
    };
    let script = places.cluster_source().join("image.sh");
    let version = env!("CARGO_PKG_VERSION");
    let image = Image {
        name: format!("{repository}/{name}:{version}-{}", tag(&recipe, &script)?),
        archive: archive.to_owned(),
    };
    write(&places.cache.join("images"), &recipe, &script, &image)?;
    let _ = fs::remove_file(stripped);
    Ok(image)
}

/// What is in one of the project's own images, as a folder: whoever builds images by other means copies it.
pub fn unpacked(places: &Places, name: &str, program: &Path, folder: &Path) -> Result<()> {
    let stripped = strip(places, name, program)?;
    let path = format!("usr/bin/{name}");
    let recipe = Recipe {
        name,
        programs: &[(&stripped, &path)],
        trees: &[],
        links: &[],
        user: USER,
    };
    let _ = fs::remove_dir_all(folder); // absent, unless it was made before
    fill(folder, &recipe).with_context(|| format!("failed to gather the image {name}"))?;
    let _ = fs::remove_file(stripped);
    Ok(())
}

/// Gives a copy of a program without debugging information.
fn strip(places: &Places, name: &str, program: &Path) -> Result<PathBuf> {
    let stripped = places.cache.join("images").join(format!("{name}.stripped"));
    fs::create_dir_all(places.cache.join("images"))
        .context("failed to create the folder of images")?;
    let mut strip = Command::new("strip");
    strip
        .arg("--strip-debug")
        .arg("-o")
        .arg(&stripped)
        .arg(program);
    command::output(&mut strip)?;
    Ok(stripped)
}

/// A shell, an HTTP client and a reader of JSON, for the tests and for what finds pods to scrape.
pub fn toolbox(places: &Places) -> Result<Image> {
    let busybox = Path::new("/bin/busybox");
    let applets = command::output(Command::new(busybox).arg("--list"))?;
    let links: Vec<(String, String)> = applets
        .lines()
        .filter(|applet| *applet != "busybox")
        .map(|applet| (format!("bin/{applet}"), "busybox".to_owned()))
        .collect();
    pack(
        places,
        &Recipe {
            name: "toolbox",
            programs: &[
                (busybox, "bin/busybox"),
                (Path::new("/usr/bin/curl"), "usr/bin/curl"),
                (Path::new("/usr/bin/jq"), "usr/bin/jq"),
            ],
            trees: &[],
            links: &links,
            user: USER,
        },
    )
}

/// Kafka, with the paths of Apache's own image.
pub fn broker(places: &Places, jars: &Path) -> Result<Image> {
    let java =
        command::output(Command::new("sh").args(["-c", "readlink -f \"$(command -v java)\""]))?;
    let java = Path::new(java.trim());
    let home = java.parent().and_then(Path::parent);
    let home = home.with_context(|| format!("{} is in no folder of Java", java.display()))?;
    pack(
        places,
        &Recipe {
            name: "kafka",
            programs: &[(java, "opt/java/openjdk/bin/java")],
            trees: &[
                (&home.join("lib"), "opt/java/openjdk/lib"),
                (&home.join("conf"), "opt/java/openjdk/conf"),
                (jars, "opt/kafka/libs"),
            ],
            links: &[],
            user: USER,
        },
    )
}

/// Redis, with the path of the official image.
pub fn store(places: &Places) -> Result<Image> {
    let server = redis::server()?;
    pack(
        places,
        &Recipe {
            name: "redis",
            programs: &[(&server, "usr/local/bin/redis-server")],
            trees: &[],
            links: &[],
            user: USER,
        },
    )
}

fn one_program(places: &Places, name: &str, program: &Path, user: &str) -> Result<Image> {
    let path = format!("usr/bin/{name}");
    pack(
        places,
        &Recipe {
            name,
            programs: &[(program, &path)],
            trees: &[],
            links: &[],
            user,
        },
    )
}

fn pack(places: &Places, recipe: &Recipe) -> Result<Image> {
    let script = places.cluster_source().join("image.sh");
    let folder = places.cache.join("images");
    let tag = tag(recipe, &script)?;
    let image = Image {
        name: format!("{LOCAL}/{}:{tag}", recipe.name),
        archive: folder.join(format!("{}-{tag}.tar", recipe.name)),
    };
    if image.archive.exists() {
        return Ok(image);
    }
    write(&folder, recipe, &script, &image)?;
    remove_older(&folder, recipe.name, &image.archive);
    Ok(image)
}

/// Gathers what is in the image, in a folder beside, and packs it.
fn write(folder: &Path, recipe: &Recipe, script: &Path, image: &Image) -> Result<()> {
    let root = folder.join(format!("{}.root", recipe.name));
    let _ = fs::remove_dir_all(&root); // absent, unless an earlier try was interrupted
    fill(&root, recipe).with_context(|| format!("failed to gather the image {}", recipe.name))?;
    let mut script = Command::new(script);
    script
        .args([&image.name])
        .arg(&root)
        .arg(recipe.user)
        .arg(&image.archive)
        .arg(format!("/{}", recipe.programs[0].1));
    command::output(&mut script)
        .with_context(|| format!("failed to pack the image {}", recipe.name))?;
    let _ = fs::remove_dir_all(&root);
    Ok(())
}

fn tag(recipe: &Recipe, script: &Path) -> Result<String> {
    let mut sum = Command::new("sha256sum");
    sum.arg("--")
        .arg(script)
        .args(recipe.programs.iter().map(|(program, _)| program));
    for (tree, _) in recipe.trees {
        sum.args(files(tree)?);
    }
    let sums = command::output(&mut sum)?;
    // Hashes without the paths they were read at.
    let hashes: String = sums
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let key = command::output_of_input(&mut Command::new("sha256sum"), &hashes)?;
    Ok(key[..key.len().min(12)].to_owned())
}

fn fill(root: &Path, recipe: &Recipe) -> Result<()> {
    for folder in ["etc", "tmp", "proc", "sys", "dev"] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    command::output(Command::new("chmod").arg("1777").arg(root.join("tmp")))?;
    let users = "root:x:0:0:root:/:/bin/false\nnonroot:x:65532:65532:nonroot:/:/bin/false\n";
    fs::write(root.join("etc/passwd"), users).context("failed to write the users")?;
    fs::write(root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")
        .context("failed to write the groups")?;
    for (program, path) in recipe.programs {
        copy(program, &root.join(path))?;
        for library in libraries(program, &[])? {
            copy(
                &library,
                &root.join(library.strip_prefix("/").unwrap_or(&library)),
            )?;
        }
    }
    for (tree, path) in recipe.trees {
        let files = files(tree)?;
        // Whoever loads a file of a tree has loaded the others that it needs, wherever they are in it.
        let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let folders: Vec<&Path> = folders.into_iter().collect();
        for file in &files {
            let inside = file.strip_prefix(tree).unwrap_or(file);
            copy(file, &root.join(path).join(inside))?;
            for library in libraries(file, &folders)? {
                let place = root.join(library.strip_prefix("/").unwrap_or(&library));
                if !library.starts_with(tree) && !place.exists() {
                    copy(&library, &place)?;
                }
            }
        }
    }
    for (path, target) in recipe.links {
        let path = root.join(path);
        if !path.exists() {
            std::os::unix::fs::symlink(target, &path)
                .with_context(|| format!("failed to link {}", path.display()))?;
        }
    }
    Ok(())
}

/// Every file in a folder, by its path; links are followed, and those that lead nowhere are left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut find = Command::new("find");
    find.arg("-L").arg(folder).args(["-type", "f"]);
    let mut files: Vec<_> = command::output(&mut find)?
        .lines()
        .map(PathBuf::from)
        .collect();
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    fs::copy(from, to)
        .with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The libraries a program loads, by the path at which it looks for each, some folders first.
fn libraries(program: &Path, folders: &[&Path]) -> Result<Vec<PathBuf>> {
    if !is_executable(program)? {
        return Ok(Vec::new());
    }
    let folders = env::join_paths(folders)
        .context("a folder of libraries has a name that no list can hold")?;
    let output = Command::new("ldd")
        .env("LD_LIBRARY_PATH", folders)
        .arg(program)
        .output()
        .context("failed to start ldd")?;
    if !output.status.success() {
        // A static program has none, and ldd says so by failing.
        return Ok(Vec::new());
    }
    parse_libraries(&String::from_utf8_lossy(&output.stdout))
}

/// Whether a file is in the format of programs and libraries.
fn is_executable(file: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let read = fs::File::open(file).and_then(|mut file| file.read(&mut magic));
    let read = read.with_context(|| format!("failed to read {}", file.display()))?;
    Ok(magic[..read] == *b"\x7fELF")
}

fn parse_libraries(listing: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in listing.lines().map(str::trim) {
        if line.contains("not found") {
            bail!("a library is missing: {line}");
        }
        let path = line.rsplit_once("=> ").map_or(line, |(_, path)| path);
        let path = path.split(" (").next().unwrap_or(path);
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

/// Only the newest archive of a name is kept. Failing to remove is no reason to fail.
fn remove_older(folder: &Path, name: &str, newest: &Path) {
    for path in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let of_this_name = file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| {
                rest.strip_suffix(".tar")
                    .is_some_and(|tag| !tag.contains('-'))
            });
        if of_this_name && path != newest {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_every_form_of_line() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                       \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\
                       \tstatically linked\n";
        let libraries = parse_libraries(listing).unwrap();
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(libraries, expected.map(PathBuf::from));
    }

    #[test]
    fn a_missing_library_is_an_error() {
        assert!(parse_libraries("\tlibgomp.so.1 => not found\n").is_err());
    }
}
