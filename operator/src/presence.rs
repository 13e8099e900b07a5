//! Whether the cluster has a kind. What is not Kubernetes' own may be missing, and may come and go: its watch goes on
//! asking, and nothing waits for it.

use std::time::Duration;

use chatbot_plan::kinds::Kind;
use kube::runtime::watcher::{Error, Event, Result};
use tokio::sync::watch;

/// How long the first answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the cluster has a kind, as its watch finds out.
#[derive(Clone, Debug)]
pub struct Presence {
    may_be_absent: bool,
    /// Absent until the first answer.
    found: watch::Sender<Option<bool>>,
}

impl Presence {
    /// Not known yet; of Kubernetes' own kinds it is.
    #[must_use]
    pub fn of(kind: &Kind) -> Self {
        let may_be_absent = kind.provider.is_some();
        let found = watch::Sender::new((!may_be_absent).then_some(true));
        Self {
            may_be_absent,
            found,
        }
    }

    /// Keeps the answer that there is no such kind from being an error, and takes note of it.
    pub fn heed<K>(&self, event: Result<Event<K>>) -> Option<Result<Event<K>>> {
        match event {
            Err(error) if self.may_be_absent && is_absence(&error) => {
                self.found.send_if_modified(|found| {
                    let news = *found != Some(false);
                    *found = Some(false);
                    news
                });
                None
            }
            event => Some(event),
        }
    }

    /// Takes note of a list that was read to its end.
    pub fn note<K>(&self, event: &Event<K>) {
        if matches!(event, Event::InitDone) {
            self.found.send_if_modified(|found| {
                let news = *found != Some(true);
                *found = Some(true);
                news
            });
        }
    }

    /// Waits for the first answer; false when there will be none. Something else may be wrong with a kind that is not
    /// Kubernetes' own: it is taken as absent until it is listed, so that it holds up nothing else. One that may not be
    /// listed may well be there: that is told, and waited for.
    pub async fn answered(&self, patience: Duration, is_refused: impl Fn() -> bool) -> bool {
        let mut found = self.found.subscribe();
        loop {
            let answer = tokio::time::timeout(patience, found.wait_for(Option::is_some)).await;
            match answer.map(|answer| answer.is_ok()) {
                Ok(answered) => return answered,
                Err(_) if is_refused() => {}
                Err(_) => self.take_as_absent(),
            }
        }
    }

    fn take_as_absent(&self) {
        self.found.send_if_modified(|found| {
            let news = found.is_none();
            found.get_or_insert(false);
            news
        });
    }

    /// Whether the cluster is known not to have it.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        *self.found.borrow() == Some(false)
    }
}

/// An API server that does not know a path says 404, and so does one that has just forgotten a kind.
fn is_absence(error: &Error) -> bool {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => status.code == 404,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_plan::kinds::KINDS;
    use kube::core::Status;

    fn kind(name: &str) -> Presence {
        Presence::of(KINDS.iter().find(|kind| kind.kind == name).unwrap())
    }

    fn refused(code: u16) -> Result<Event<()>> {
        let status = Status::failure(
            "the server could not find the requested resource",
            "NotFound",
        );
        let status = Box::new(status.with_code(code));
        Err(Error::InitialListFailed(kube::Error::Api(status)))
    }

    #[tokio::test]
    async fn a_kind_that_is_not_installed_is_no_error_and_comes_and_goes() {
        let route = kind("HTTPRoute");
        assert!(!route.is_absent());
        assert!(route.heed(refused(404)).is_none());
        assert!(route.answered(PATIENCE, || false).await && route.is_absent());
        route.note(&Event::<()>::InitDone);
        assert!(!route.is_absent());
        assert!(route.heed(refused(404)).is_none());
        assert!(route.is_absent());
    }

    #[tokio::test]
    async fn a_kind_that_cannot_be_listed_holds_nothing_up_unless_a_right_is_missing() {
        let route = kind("HTTPRoute");
        assert!(route.heed(refused(500)).is_some());
        let looks = std::cell::Cell::new(0);
        let is_refused = || looks.replace(looks.get() + 1) < 3;
        assert!(route.answered(Duration::from_millis(1), is_refused).await && route.is_absent());
        assert_eq!(looks.get(), 4, "as long as it is refused it is waited for");
        route.note(&Event::<()>::InitDone);
        assert!(!route.is_absent());
    }

    #[tokio::test]
    async fn every_other_error_and_kubernetes_own_kinds_are_as_ever() {
        assert!(kind("HTTPRoute").heed(refused(403)).is_some());
        let service = kind("Service");
        assert!(service.heed(refused(404)).is_some());
        assert!(service.answered(PATIENCE, || false).await && !service.is_absent());
    }
}
