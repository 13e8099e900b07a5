//! The system prompt: written in the resource, or a file that is read again when it changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::SystemPrompt;
use tokio::sync::watch;
use tracing::{info, warn};

/// The text, or why there is none yet.
pub(crate) type Current = Result<Arc<str>, String>;

/// What is known before a file has been read.
pub(crate) fn initial(prompt: Option<&SystemPrompt>) -> Current {
    match prompt {
        None => Ok("".into()),
        Some(SystemPrompt::Text(text)) => Ok(text.as_str().into()),
        Some(SystemPrompt::File(path)) => {
            Err(format!("the system prompt {path} has not been read yet"))
        }
    }
}

/// Keeps the text as the file has it. A file that goes away later leaves the last text: answering on is better than
/// falling silent.
pub(crate) async fn follow(path: &Path, every: Duration, current: &watch::Sender<Current>) {
    loop {
        let read = tokio::fs::read_to_string(path).await;
        let read = read.map(|text| Arc::<str>::from(text.trim()));
        current.send_if_modified(|current| match (read, &*current) {
            (Ok(text), Ok(before)) if text == *before => false,
            (Ok(text), _) => {
                info!(path = %path.display(), "read the system prompt");
                *current = Ok(text);
                true
            }
            (Err(_), Ok(_)) => false,
            (Err(error), Err(before)) => {
                let reason = format!(
                    "failed to read the system prompt {}: {error}",
                    path.display()
                );
                let changed = reason != *before;
                if changed {
                    warn!("{reason}");
                    *current = Err(reason);
                }
                changed
            }
        });
        tokio::time::sleep(every).await;
    }
}

/// The text, once there is one.
pub(crate) async fn ready(current: &mut watch::Receiver<Current>) -> Arc<str> {
    loop {
        if let Ok(text) = &*current.borrow_and_update() {
            return Arc::clone(text);
        }
        if current.changed().await.is_err() {
            // Whoever follows the file is gone: the worker is ending.
            std::future::pending::<()>().await;
        }
    }
}
