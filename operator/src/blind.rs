//! An operator that has never had the right to list something has caches that are never filled, and nothing can be
//! decided by them: what is not seen may well be there. Whoever waits is told which right is missing.

use std::time::Duration;

use chatbot_plan::status;
use jiff::Timestamp;

use crate::context::Context;
use crate::error::Error;
use crate::observe::{identity, last_status};
use crate::report::{Subject, report};
use crate::watch::{Caches, Guarded};

/// How long the caches are given to be filled, before anything is said of it: a right may have been refused while the
/// rights themselves were being installed.
const WAIT: Duration = Duration::from_secs(10);
/// How long the caches are waited for before it is looked whether they will be filled.
const GLANCE: Duration = Duration::from_secs(1);
/// How long until the next look at whether they are.
const AGAIN: Duration = Duration::from_secs(5);

/// What the API server does not let be listed, in its words. Returns with nothing as soon as the caches are filled.
pub async fn missing(caches: &Caches) -> Result<Vec<String>, Error> {
    loop {
        if let Ok(filled) = tokio::time::timeout(WAIT, caches.wait()).await {
            return filled.map(|()| Vec::new());
        }
        let refused = caches.refused();
        if !refused.is_empty() {
            return Ok(refused);
        }
    }
}

/// Waits until an operator sees what there is, or can say which right it lacks: one that can do neither must not keep another
/// one from leading.
pub async fn sees_or_says_why(caches: &Caches) {
    while tokio::time::timeout(GLANCE, caches.wait()).await.is_err() {
        if !caches.refused().is_empty() {
            return;
        }
    }
}

/// Tells it in the resource's status, and nothing else: nothing is known, and nothing is done. Gives how long until the
/// next look.
pub async fn tell(
    resource: &Guarded,
    missing: &[String],
    context: &Context,
) -> Result<Duration, Error> {
    let cluster = identity(resource);
    let (previous, version) = last_status(resource, &cluster, context).await?;
    let status = status::unseen(&cluster, &previous, missing, Timestamp::now());
    let subject = Subject {
        cluster: &cluster,
        status: &previous,
        version: version.as_deref(),
        quiet: false,
    };
    report(subject, &status, context).await?;
    Ok(AGAIN)
}
