//! The one way out for writes. Every request that could change something passes here, whoever sends it, and is let out
//! only while this operator leads, has not been told to end, and has writes left to make.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio_util::task::TaskTracker;
use tower::BoxError;

use crate::term::Term;

/// Why a write was not let out, or its answer not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// Another operator leads, or may do so by now.
    #[error("this operator does not lead")]
    NotLeading,
    /// The operator has been told to end.
    #[error("this operator is ending")]
    Ending,
    /// As many writes as were granted have been made.
    #[error("the write budget is spent")]
    Spent,
}

impl Shut {
    /// Whether this is why a request failed.
    #[must_use]
    pub fn cause_of(error: &kube::Error) -> Option<Self> {
        match error {
            kube::Error::Service(cause) => cause.downcast_ref().copied(),
            _ => None,
        }
    }
}

/// How many writes an operator may make. Where it is spent the operator is as good as dead: it changes nothing more. A
/// process that is killed does just that, at a place that nobody can choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Budget {
    /// As many as it likes.
    #[default]
    Unlimited,
    /// So many, each with its answer.
    Writes(u32),
    /// So many, and the last one's answer is lost: it was done, and the operator does not know.
    UnheardAfter(u32),
}

impl Budget {
    /// Grants the write with this number, counted from 1; says whether its answer is heard.
    const fn grants(self, number: u32) -> Option<bool> {
        match self {
            Self::Unlimited => Some(true),
            Self::Writes(most) if number <= most => Some(true),
            Self::UnheardAfter(most) if number <= most => Some(number < most),
            Self::Writes(_) | Self::UnheardAfter(_) => None,
        }
    }
}

/// A handle on the way out.
#[derive(Clone)]
pub struct Gate {
    term: Term,
    budget: Budget,
    made: Arc<Mutex<u32>>,
    under_way: TaskTracker,
}

impl Gate {
    /// Open while this term lasts, for so many writes.
    #[must_use]
    pub fn new(term: Term, budget: Budget) -> Self {
        Self {
            term,
            budget,
            made: Arc::default(),
            under_way: TaskTracker::new(),
        }
    }

    /// A client whose writes pass here.
    #[must_use]
    pub fn guard(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let gate = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (gate, client) = (gate.clone(), client.clone());
            async move {
                if is_read(request.method()) {
                    return client.send(request).await.map_err(BoxError::from);
                }
                let _under_way = gate.under_way.token();
                // Nothing comes between this and the request: a process that was stopped here asks again first.
                let heard = gate.let_out()?;
                let answer = client.send(request).await?;
                if heard {
                    Ok(answer)
                } else {
                    Err(BoxError::from(Shut::Spent))
                }
            }
        });
        Client::new(service, namespace)
    }

    /// Whether a write would be let out now.
    pub fn check(&self) -> Result<(), Shut> {
        if self.under_way.is_closed() {
            Err(Shut::Ending)
        } else if !self.term.lasts() {
            Err(Shut::NotLeading)
        } else if self.budget.grants(self.made() + 1).is_none() {
            Err(Shut::Spent)
        } else {
            Ok(())
        }
    }

    /// How many writes were let out.
    #[must_use]
    pub fn made(&self) -> u32 {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no further write out, and returns when those under way have their answer.
    pub async fn close(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    fn let_out(&self) -> Result<bool, Shut> {
        self.check()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = self.budget.grants(*made + 1).ok_or(Shut::Spent)?;
        *made += 1;
        Ok(heard)
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{DeleteParams, PostParams};
    use tokio::sync::Notify;

    use super::*;

    /// Answers everything, and counts what arrived.
    fn server(arrived: Arc<AtomicU32>) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| {
            arrived.fetch_add(1, Ordering::SeqCst);
            let body = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#;
            async move { Ok::<_, BoxError>(Response::new(Body::from(body.as_bytes().to_vec()))) }
        });
        Client::new(service, "default")
    }

    fn maps(gate: &Gate, client: Client) -> Api<ConfigMap> {
        Api::default_namespaced(gate.guard(client))
    }

    async fn write(api: &Api<ConfigMap>) -> Result<(), Option<Shut>> {
        let (params, map) = (PostParams::default(), ConfigMap::default());
        let created = api.create(&params, &map).await;
        created.map(drop).map_err(|error| Shut::cause_of(&error))
    }

    #[tokio::test]
    async fn a_spent_budget_lets_reads_out_and_no_write() {
        let arrived = Arc::new(AtomicU32::new(0));
        let gate = Gate::new(Term::endless(), Budget::Writes(2));
        let api = maps(&gate, server(arrived.clone()));
        assert_eq!(write(&api).await, Ok(()));
        assert_eq!(write(&api).await, Ok(()));
        assert_eq!(write(&api).await, Err(Some(Shut::Spent)));
        assert_eq!(arrived.load(Ordering::SeqCst), 2);
        assert!(api.get("a").await.is_ok());
        assert_eq!((arrived.load(Ordering::SeqCst), gate.made()), (3, 2));
    }

    #[tokio::test]
    async fn the_last_write_of_a_budget_can_arrive_unheard() {
        let arrived = Arc::new(AtomicU32::new(0));
        let gate = Gate::new(Term::endless(), Budget::UnheardAfter(1));
        let api = maps(&gate, server(arrived.clone()));
        assert_eq!(write(&api).await, Err(Some(Shut::Spent)));
        assert_eq!(arrived.load(Ordering::SeqCst), 1);
        assert_eq!(write(&api).await, Err(Some(Shut::Spent)));
        assert_eq!(arrived.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn without_a_term_nothing_is_written_or_deleted() {
        let arrived = Arc::new(AtomicU32::new(0));
        let gate = Gate::new(Term::default(), Budget::Unlimited);
        let api = maps(&gate, server(arrived.clone()));
        assert_eq!(write(&api).await, Err(Some(Shut::NotLeading)));
        let deleted = api.delete("a", &DeleteParams::default()).await;
        assert_eq!(
            Shut::cause_of(&deleted.unwrap_err()),
            Some(Shut::NotLeading)
        );
        assert_eq!(arrived.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn closing_waits_for_the_write_under_way_and_lets_no_other_out() {
        let (arrived, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let server = {
            let (arrived, answer) = (arrived.clone(), answer.clone());
            tower::service_fn(move |_: Request<Body>| {
                let (arrived, answer) = (arrived.clone(), answer.clone());
                async move {
                    arrived.notify_one();
                    answer.notified().await;
                    Ok::<_, BoxError>(Response::new(Body::from(b"{\"metadata\":{}}".to_vec())))
                }
            })
        };
        let gate = Gate::new(Term::endless(), Budget::Unlimited);
        let api = maps(&gate, Client::new(server, "default"));
        let first = tokio::spawn({
            let api = api.clone();
            async move { write(&api).await }
        });
        arrived.notified().await;
        let closed = tokio::spawn({
            let gate = gate.clone();
            async move { gate.close().await }
        });
        while gate.check() != Err(Shut::Ending) {
            tokio::task::yield_now().await;
        }
        assert_eq!(write(&api).await, Err(Some(Shut::Ending)));
        assert!(!closed.is_finished());
        answer.notify_one();
        assert_eq!(first.await.unwrap(), Ok(()));
        closed.await.unwrap();
    }
}
