//! Showing an answer as it grows.

use chatbot_message::{Message, Preview};
use tokio::time::Instant;

use crate::Shared;

/// Shows one attempt at an answer, not more often than there is something to see.
pub(crate) struct Show<'a> {
    shared: &'a Shared,
    message: &'a Message,
    began: Instant,
    shown: Option<Instant>,
}

impl<'a> Show<'a> {
    pub(crate) fn new(shared: &'a Shared, message: &'a Message) -> Self {
        Self {
            shared,
            message,
            began: Instant::now(),
            shown: None,
        }
    }

    /// The answer has grown to `text`. A synthetic conversation is shown to nobody.
    pub(crate) async fn grown(&mut self, text: &str) {
        if self.message.synthetic {
            return;
        }
        let now = Instant::now();
        if self.shown.is_none() {
            let waited = (now - self.began).as_secs_f64();
            self.shared.metrics.first_token_seconds.observe(waited);
        }
        let interval = self.shared.limits.preview_interval;
        if self.shown.is_some_and(|shown| now - shown < interval) {
            return;
        }
        self.shown = Some(now);
        let preview = Preview {
            message_id: self.message.id,
            account: self.message.account.clone(),
            text: text.to_owned(),
        };
        self.shared.previews.publish(preview).await;
    }
}
