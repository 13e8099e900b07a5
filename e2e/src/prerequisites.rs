//! What must be true of this machine before anything is started, and the Debian packages that make it so.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::network;
use crate::command;
use crate::go_build;
use crate::places::Places;

/// A program or file that shows that a package is there, and the package.
const PACKAGES: [(&str, &str); 27] = [
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("cmake", "cmake"),
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("g++", "g++"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("java", "openjdk-17-jre-headless"),
    ("jq", "jq"),
    ("modprobe", "kmod"),
    ("ldd", "libc-bin"),
    ("libclang", "libclang-dev"),
    ("make", "make"),
    ("mount", "mount"),
    ("mvn", "maven"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
    ("sysctl", "procps"),
    ("pip", "python3-pip"),
    ("redis-cli", "redis-tools"),
    ("runc", "runc"),
    ("nsenter", "util-linux"),
    ("/bin/busybox", "busybox-static"),
];

/// Room for the Go build cache, the Rust build, the images of three nodes; and for the images alone.
const GIBIBYTES_TO_BUILD: u64 = 12;
const GIBIBYTES_TO_RUN: u64 = 3;

/// Refuses what cannot work here, before anything has been changed.
pub fn check_machine(places: &Places) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "this needs root: it makes network namespaces, mounts and control groups. Run it as root, or use \
             `cargo chat`, which runs the same chat in one process without any"
        );
    }
    places.check_state()?;
    network::check_not_anothers(places)?;
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
        && !Path::new("/sys/fs/cgroup/memory").exists()
    {
        bail!(
            "/sys/fs/cgroup has no memory controller: containers cannot be limited here. In a container, start it \
             privileged with the host's cgroup mount (docker run --privileged --cgroupns=host)"
        );
    }
    for (tool, remedy) in [
        (
            "go",
            "install Go 1.26 or newer (https://go.dev/doc/install) and put it on PATH",
        ),
        (
            "cargo",
            "install Rust (https://rustup.rs) and put it on PATH",
        ),
    ] {
        if !on_path(tool) {
            bail!("{tool} is not on PATH: {remedy}");
        }
    }
    check_space(places)
}

/// Nothing is half written for want of room.
pub fn check_space(places: &Places) -> Result<()> {
    fs::create_dir_all(&places.cache)
        .with_context(|| format!("failed to create {}", places.cache.display()))?;
    let status = rustix::fs::statvfs(&places.cache).with_context(|| {
        format!(
            "failed to read the free space at {}",
            places.cache.display()
        )
    })?;
    let free = status.f_bavail.saturating_mul(status.f_frsize) >> 30;
    let needed = if go_build::is_built(places) {
        GIBIBYTES_TO_RUN
    } else {
        GIBIBYTES_TO_BUILD
    };
    if free < needed {
        bail!(
            "{} has {free} GiB free, {needed} are needed: make room there, or set CHATBOT_E2E_CACHE to a folder with \
             more",
            places.cache.display()
        );
    }
    Ok(())
}

/// The packages that are missing here.
#[must_use]
pub fn missing_packages() -> Vec<&'static str> {
    let missing: BTreeSet<_> = PACKAGES
        .iter()
        .filter(|(sign, _)| !present(sign))
        .map(|(_, package)| *package)
        .collect();
    missing.into_iter().collect()
}

/// Installs packages with apt.
pub fn install_packages(packages: &[&str], each: impl Fn(&str) + Sync) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !on_path("apt-get") {
        bail!(
            "these Debian packages are missing, and there is no apt-get to install them: {}. Install what they \
             contain by this system's own means",
            packages.join(" ")
        );
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet=2");
        apt
    };
    command::watched(apt().arg("update"), &each)?;
    command::watched(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
        &each,
    )
    .context(
        "failed to install packages: is another apt running, or the package list out of reach?",
    )?;
    let still = missing_packages();
    if !still.is_empty() {
        bail!(
            "apt-get installed what it was asked to, and still missing are: {}",
            still.join(" ")
        );
    }
    // The package starts a containerd of its own, which this cluster does not use.
    Ok(())
}

/// Whether a program is on PATH, or where a root's PATH would have it.
#[must_use]
pub fn on_path(program: &str) -> bool {
    env::split_paths(&path_with_sbin()).any(|folder| folder.join(program).is_file())
}

/// PATH with the folders of the system's own programs, which a user's may lack.
#[must_use]
pub fn path_with_sbin() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    for folder in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        path.push(":");
        path.push(folder);
    }
    path
}

/// The folder of the newest libclang that the binding generator finds by itself.
#[must_use]
pub fn system_libclang() -> Option<PathBuf> {
    let mut folders = vec![
        PathBuf::from("/usr/lib/x86_64-linux-gnu"),
        PathBuf::from("/usr/lib64"),
    ];
    let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.extend(
        versions
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("llvm-"))
            })
            .map(|path| path.join("lib")),
    );
    folders.into_iter().find(|folder| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            // Not the C++ interface, which a browser brings.
            .filter(|name| !name.starts_with("libclang-cpp"))
            .any(|name| name.starts_with("libclang.so") || name.starts_with("libclang-"))
    })
}

fn present(sign: &str) -> bool {
    match sign {
        "libclang" => system_libclang().is_some(),
        "pip" => pip_works(),
        path if path.starts_with('/') => Path::new(path).exists(),
        program => on_path(program),
    }
}

/// Whether `python3 -m pip` does something.
#[must_use]
pub fn pip_works() -> bool {
    command::output(Command::new("python3").args(["-m", "pip", "--version"])).is_ok()
}
