//! The broker's programs: fetched once with Maven, and prepared so that a start takes seconds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::places::Places;
use crate::prerequisites::on_path;
use crate::rust_build::partial_folder;

/// Also the name of the folder in the cache: what is fetched later does not mix with it.
const VERSION: &str = "4.3.0";
/// What copies a project's dependencies.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>chatbotcluster</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

/// The broker's programs.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    jars: PathBuf,
    /// Classes as the virtual machine has loaded them before: with it a start takes a third of the time.
    archive: PathBuf,
}

impl Distribution {
    /// Fetches what is missing. The lock is for other processes at the same.
    pub(super) fn prepare(places: &Places) -> Result<Self> {
        let folder = places.cache.join(format!("kafka-{VERSION}"));
        fs::create_dir_all(&places.cache)
            .with_context(|| format!("failed to create {}", places.cache.display()))?;
        let lock = places.cache.join("kafka.lock");
        let lock =
            File::create(&lock).with_context(|| format!("failed to create {}", lock.display()))?;
        lock.lock().context("failed to lock the broker's folder")?;
        for (program, package) in [("java", "openjdk-17-jre-headless"), ("mvn", "maven")] {
            if !on_path(program) {
                bail!("{program} is not on PATH: apt install {package}");
            }
        }
        if !folder.exists() {
            fetch(&folder)?;
        }
        let distribution = Self {
            jars: folder.join("lib"),
            archive: folder.join("classes.jsa"),
        };
        if !distribution.archive.exists() {
            super::archive_classes(&distribution)?;
        }
        Ok(distribution)
    }

    /// The folder with Kafka's parts.
    pub(super) fn jars(&self) -> &Path {
        &self.jars
    }

    pub(super) fn archive(&self) -> &Path {
        &self.archive
    }

    /// A virtual machine that runs one of the programs.
    pub(super) fn java(&self, options: &[&str], class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx384m", "-Xms64m", "-XX:+UseSerialGC"])
            .args(options)
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(class);
        java
    }
}

fn fetch(folder: &Path) -> Result<()> {
    let partial = partial_folder(folder)?;
    fs::write(partial.join("pom.xml"), POM.replace("VERSION", VERSION))
        .context("failed to write the list of the broker's parts")?;
    let mut maven = Command::new("mvn");
    maven
        .current_dir(&partial)
        .args(["--batch-mode", "--quiet", PLUGIN])
        .args(["-DincludeScope=runtime", "-DoutputDirectory=lib"]);
    command::output(&mut maven)
        .context("failed to fetch the broker: is there a connection to Maven's repository?")?;
    fs::rename(&partial, folder)
        .with_context(|| format!("failed to move the broker to {}", folder.display()))
}
