//! Where things are: the repository, the cache that may be thrown away, and the state of the running cluster.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Marks a state folder as one that this program made, and may remove.
const MARK: &str = ".chatbot-e2e";

/// The folders everything else is found in.
#[derive(Clone, Debug)]
pub struct Places {
    /// The clone this program was built from.
    pub repository: PathBuf,
    /// Built programs, models and image archives. Never needed: what is missing is made again.
    pub cache: PathBuf,
    /// What belongs to the running cluster; `down` removes it.
    pub state: PathBuf,
    /// Where cargo put this program, and puts the ones it builds next.
    pub binaries: PathBuf,
}

impl Places {
    /// Finds the folders, from the environment where it names them.
    pub fn find() -> Result<Self> {
        let repository = repository()?;
        let cache = match env::var_os("CHATBOT_E2E_CACHE") {
            Some(folder) => PathBuf::from(folder),
            None => default_cache()?,
        };
        let state =
            env::var_os("CHATBOT_E2E_STATE").map_or_else(|| cache.join("cluster"), PathBuf::from);
        for (name, folder) in [("CHATBOT_E2E_CACHE", &cache), ("CHATBOT_E2E_STATE", &state)] {
            check(name, folder)?;
        }
        Ok(Self {
            repository,
            cache,
            state,
            binaries: binaries()?,
        })
    }

    /// Makes the state folder. One that somebody else has put something into is refused: it would be removed one day.
    pub fn claim_state(&self) -> Result<()> {
        self.check_state()?;
        let failed = || format!("failed to create {}", self.state.display());
        fs::create_dir_all(&self.state).with_context(failed)?;
        fs::write(self.state.join(MARK), "").with_context(failed)
    }

    /// Fails when the state folder holds something and is not ours.
    pub fn check_state(&self) -> Result<()> {
        let is_empty =
            fs::read_dir(&self.state).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !self.is_ours() {
            bail!(
                "{}: is not empty, and no folder that `cargo e2e up` made: set CHATBOT_E2E_STATE to one of its own",
                self.state.display()
            );
        }
        Ok(())
    }

    /// Whether the state folder was made by this program.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.state.join(MARK).exists()
    }

    /// The scripts, modules and manifests the cluster is made from.
    #[must_use]
    pub fn cluster_source(&self) -> PathBuf {
        self.repository.join("e2e/cluster")
    }

    /// The sample resources.
    #[must_use]
    pub fn samples(&self) -> PathBuf {
        self.repository.join("e2e/samples")
    }

    /// The folder of model files: the nodes see it as a volume.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.cache.join("models")
    }

    /// Certificates, keys and the programs' kubeconfigs.
    #[must_use]
    pub fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    /// One file per process, named for it.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// One file per running process that this program started.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.state.join("processes")
    }

    /// The kubeconfig for whoever uses the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// A link to the folder of the programs this cluster runs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.state.join("programs")
    }
}

/// The folder above this crate: where cargo says that the crate is, since what was built stays fresh in its eyes when the
/// clone moves; where it was built when somebody else starts the program.
fn repository() -> Result<PathBuf> {
    let is_ours = |folder: &PathBuf| folder.join("src/places.rs").is_file();
    let crate_folder = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(is_ours)
        .or_else(|| Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))).filter(is_ours))
        .context(concat!(
            "failed to find the clone that this program was built from, at ",
            env!("CARGO_MANIFEST_DIR"),
            ": start it as `cargo e2e` in the clone"
        ))?;
    let above = crate_folder.parent().map(Path::to_path_buf);
    above.context("failed to find the repository above the e2e folder")
}

fn default_cache() -> Result<PathBuf> {
    let base = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(folder), _) if !folder.is_empty() => PathBuf::from(folder),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!(
            "failed to find a cache folder: set HOME, or CHATBOT_E2E_CACHE to a folder of your own"
        ),
    };
    Ok(base.join("chatbotcluster"))
}

/// A node has a `/var` and a `/run` of its own, so a folder in them could not be seen from inside one.
fn check(name: &str, folder: &Path) -> Result<()> {
    if !folder.is_absolute() {
        bail!("{name}={}: must be an absolute path", folder.display());
    }
    if folder.starts_with("/var") || folder.starts_with("/run") {
        bail!(
            "{name}={}: the cluster's nodes have a /var and a /run of their own; name a folder outside them",
            folder.display()
        );
    }
    Ok(())
}

/// Tests are in `deps`, one folder below the programs.
fn binaries() -> Result<PathBuf> {
    let this = env::current_exe().context("failed to find the path of this program")?;
    let folder = this
        .parent()
        .context("failed to find the folder of this program")?;
    Ok(match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder).to_path_buf(),
        _ => folder.to_path_buf(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_of_somebody_else_is_not_used() {
        let state = env::temp_dir().join(format!("chatbot-e2e-places-{}", std::process::id()));
        let places = Places {
            repository: PathBuf::new(),
            cache: PathBuf::new(),
            state: state.clone(),
            binaries: PathBuf::new(),
        };
        fs::create_dir_all(&state).unwrap();
        assert!(!places.is_ours(), "an empty folder may be anybody's");
        places.claim_state().unwrap();
        places.check_state().unwrap();
        assert!(places.is_ours());
        fs::remove_file(state.join(MARK)).unwrap();
        fs::write(state.join("thesis"), "").unwrap();
        let refused = places.claim_state().unwrap_err();
        assert!(
            refused.to_string().contains("CHATBOT_E2E_STATE"),
            "{refused}"
        );
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn a_folder_the_nodes_cannot_see_is_refused_with_the_remedy() {
        let refused = check("CHATBOT_E2E_STATE", Path::new("/var/lib/chatbot")).unwrap_err();
        assert!(
            refused.to_string().contains("name a folder outside"),
            "{refused}"
        );
        assert!(check("CHATBOT_E2E_STATE", Path::new("/opt/chatbot")).is_ok());
        assert!(check("CHATBOT_E2E_STATE", Path::new("here")).is_err());
    }
}
