//! What the API needs of an engine.

use chatbot_engine::{Engine, Event, ModelFacts, Refused, Request};
use tokio::sync::mpsc::UnboundedReceiver;

/// Something that continues conversations.
pub trait Generate: Send + Sync + 'static {
    /// What is known about the model.
    fn facts(&self) -> ModelFacts;
    /// Begins to answer; dropping the receiver ends the work. May take milliseconds.
    fn answer(&self, request: Request) -> Result<UnboundedReceiver<Event>, Refused>;
    /// Returns when it can answer no more.
    fn stopped(&self) -> impl Future<Output = ()> + Send;
}

impl Generate for Engine {
    fn facts(&self) -> ModelFacts {
        self.facts().clone()
    }

    fn answer(&self, request: Request) -> Result<UnboundedReceiver<Event>, Refused> {
        self.answer(request)
    }

    async fn stopped(&self) {
        self.stopped().await;
    }
}
