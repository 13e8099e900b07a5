//! A channel's Secret, as files that Kubernetes replaces: one folder per channel, one file per key.

use std::path::Path;

use chatbot_adapters::Secrets;

/// The largest value that is read, bytes: a Secret as a whole has 1 MiB at most, and no key of a platform comes near.
const LARGEST: u64 = 64 * 1024;

/// The Secret's values; none when there is no Secret: then there is no folder, or, where the volume is optional, an empty
/// one.
pub(super) fn read(folder: &Path) -> Option<Secrets> {
    let entries = std::fs::read_dir(folder).ok()?;
    let values = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let key = entry.file_name().into_string().ok()?;
        // Kubernetes keeps its own links beside the keys, and keys cannot begin with two dots.
        if key.starts_with("..") {
            return None;
        }
        // The entry is a link itself: what it leads to counts.
        let file = std::fs::metadata(entry.path()).ok()?;
        if !file.is_file() || file.len() > LARGEST {
            return None;
        }
        Some((key, std::fs::read(entry.path()).ok()?))
    });
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| Secrets::new(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_through_the_links_that_kubernetes_makes() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_11_30");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("signingKey"), "secret\n").unwrap();
        std::os::unix::fs::symlink(&data, folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/signingKey", folder.path().join("signingKey")).unwrap();
        let secrets = read(folder.path()).unwrap();
        assert_eq!(secrets.missing(&["signingKey", "..data"]), ["..data"]);
        assert_eq!(format!("{secrets:?}"), r#"{"signingKey"}"#);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_secret_and_neither_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("chat")).is_none());
        assert!(read(folder.path()).is_none());
    }
}
