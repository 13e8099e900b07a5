//! An image's archive, as containerd, Docker and Podman will read it.
#![allow(clippy::unwrap_used)] // A test fails where something is not as it has to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chatbot_e2e::command;
use chatbot_e2e::places::Places;
use serde_json::Value;

const NAME: &str = "registry.example.com:5000/team/hello:0.1.0-abc";

/// A folder with a small image, that goes with the test.
struct Packed(PathBuf);

impl Packed {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("chatbot-e2e-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("root/usr/bin")).unwrap();
        fs::write(folder.join("root/usr/bin/hello"), "hello").unwrap();
        Self(folder)
    }

    fn pack(&self, archive: &str) -> PathBuf {
        let archive = self.0.join(archive);
        let script = Places::find().unwrap().cluster_source().join("image.sh");
        let mut script = Command::new(script);
        script.arg(NAME).arg(self.0.join("root")).arg("65532:65532");
        command::output(script.arg(&archive).arg("/usr/bin/hello")).unwrap();
        archive
    }

    fn unpack(archive: &Path) -> PathBuf {
        let folder = archive.with_extension("unpacked");
        fs::create_dir_all(&folder).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(archive);
        command::output(tar.arg("--directory").arg(&folder)).unwrap();
        folder
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn sha256(path: &Path) -> String {
    let sum = command::output(Command::new("sha256sum").arg(path)).unwrap();
    sum.split(' ').next().unwrap().to_owned()
}

/// The file that a descriptor names, which must be what it says.
fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let hash = descriptor["digest"]
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap();
    let path = layout.join("blobs/sha256").join(hash);
    assert_eq!(sha256(&path), hash);
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        descriptor["size"].as_u64().unwrap()
    );
    path
}

#[test]
#[ignore = "needs jq: cargo e2e test"]
fn an_archive_is_an_oci_layout_and_what_older_docker_reads() {
    let packed = Packed::new("layout");
    let layout = Packed::unpack(&packed.pack("hello.tar"));
    assert_eq!(
        json(&layout.join("oci-layout"))["imageLayoutVersion"],
        "1.0.0"
    );

    let index = json(&layout.join("index.json"));
    assert_eq!(index["schemaVersion"], 2);
    let described = &index["manifests"][0];
    // containerd takes the whole name from the one, Podman the tag from the other.
    assert_eq!(described["annotations"]["io.containerd.image.name"], NAME);
    assert_eq!(
        described["annotations"]["org.opencontainers.image.ref.name"],
        "0.1.0-abc"
    );
    let manifest = json(&blob(&layout, described));
    let config_file = blob(&layout, &manifest["config"]);
    let layer = blob(&layout, &manifest["layers"][0]);
    let config = json(&config_file);
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", sha256(&layer))
    );
    assert_eq!(
        config["architecture"],
        described["platform"]["architecture"]
    );
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/hello");
    assert_eq!(config["config"]["User"], "65532:65532");
    let content = command::output(Command::new("tar").arg("--list").arg("--file").arg(&layer));
    assert!(
        content
            .unwrap()
            .lines()
            .any(|path| path == "./usr/bin/hello")
    );

    let docker = &json(&layout.join("manifest.json"))[0];
    assert_eq!(docker["RepoTags"][0], NAME);
    assert_eq!(layout.join(docker["Config"].as_str().unwrap()), config_file);
    assert_eq!(layout.join(docker["Layers"][0].as_str().unwrap()), layer);
}

#[test]
#[ignore = "needs jq: cargo e2e test"]
fn the_same_content_is_the_same_archive() {
    let packed = Packed::new("same");
    let first = sha256(&packed.pack("first.tar"));
    let program = packed.0.join("root/usr/bin/hello");
    fs::write(&program, "hello").unwrap(); // written again, at another time
    assert_eq!(sha256(&packed.pack("second.tar")), first);
    fs::write(&program, "goodbye").unwrap();
    assert_ne!(sha256(&packed.pack("third.tar")), first);
}

#[test]
fn the_containerfile_gives_each_image_the_same_user_and_program() {
    let places = Places::find().unwrap();
    let text = fs::read_to_string(places.repository.join("e2e/images/Containerfile")).unwrap();
    let stages: Vec<&str> = text.split("FROM scratch AS ").skip(1).collect();
    for (name, stage) in ["operator", "chatbot"].into_iter().zip(&stages) {
        for line in [
            format!("COPY --from=build /content/{name}/ /"),
            "USER 65532:65532".to_owned(),
            "ENV PATH=/usr/bin:/bin".to_owned(),
            format!("ENTRYPOINT [\"/usr/bin/{name}\"]"),
        ] {
            assert!(stage.lines().any(|found| found == line), "{name}: {line}");
        }
    }
    assert_eq!(stages.len(), 2);
}
