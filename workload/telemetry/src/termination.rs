//! Why a pod could not start, where Kubernetes shows it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use chatbot_crds::config::Termination;
use tracing::warn;

/// The file whose content becomes the container's termination message.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Writes the reason and the message to the termination log, when there is one: outside a pod there is none.
pub fn termination(reason: &str, message: &str) {
    write(Path::new(TERMINATION_LOG), reason, message);
}

fn write(log: &Path, reason: &str, message: &str) {
    if !log.exists() {
        return;
    }
    let termination = Termination {
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let written = serde_json::to_vec(&termination)
        .map_err(std::io::Error::from)
        .and_then(|json| {
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(log)?
                .write_all(&json)
        });
    if let Err(error) = written {
        warn!(%error, path = %log.display(), "failed to write the termination message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_written_where_there_is_a_log_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("termination-log");
        write(&log, "SourceNotFound", "no file");
        assert!(!log.exists());

        std::fs::write(
            &log,
            "an earlier and longer message that must not shine through, whatever its length",
        )
        .unwrap();
        write(&log, "SourceNotFound", "no file");
        let read: Termination = serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap();
        assert_eq!(read.reason, "SourceNotFound");
        assert_eq!(read.message, "no file");
    }
}
