//! The operator as a process: caches, election, passes and endpoints, from the start to the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chatbot_plan::names::LEASE_NAMESPACE;
use chatbot_plan::world::Release;
use futures::{Stream, StreamExt};
use kube::Client;
use kube::runtime::controller::Config;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::{self, Receiver};
use tokio_util::sync::CancellationToken;

use crate::blind;
use crate::context::Context;
use crate::controller::{on_error, reconcile};
use crate::error::Error;
use crate::events::Events;
use crate::gate::{Budget, Gate};
use crate::lease::{self, Candidate};
use crate::serve::{Metrics, Told, serve};
use crate::standing::{self, Standing};
use crate::state::Reports;
use crate::term::Term;
use crate::watch::{Caches, Guarded, controller};

/// How long a write that is under way is waited for at the end.
const LAST_WRITE: Duration = Duration::from_secs(10);
/// How often what is gone is forgotten.
const FORGET: Duration = Duration::from_mins(5);

/// How the operator is run.
pub struct Options {
    /// What it makes pods from.
    pub release: Release,
    /// Where it tells about itself.
    pub metrics_address: SocketAddr,
    /// Resources worked on at the same time.
    pub concurrency: u16,
    /// After how long everything is listed anew.
    pub relist: Duration,
    /// Namespace of the Lease; absent: the one that all installations share.
    pub lease_namespace: Option<String>,
}

/// Runs until the process is told to end.
pub async fn run(client: Client, options: Options) -> anyhow::Result<()> {
    let (term, instance) = (Term::default(), lease::instance());
    let gate = Gate::new(term.clone(), Budget::default());
    let identity = standing::identity(client.default_namespace(), &instance);
    let namespace = options.lease_namespace.as_deref();
    let namespace = namespace.unwrap_or(LEASE_NAMESPACE);
    let candidate = Candidate::new(client.clone(), namespace, identity.clone(), term);

    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (controller, caches) = controller(&client, options.relist);
    let (standing, stands) = watch::channel(Standing::default());
    let told = Told::new(registry, caches.clone(), stands.clone(), identity);
    let context = Context::new(
        client,
        gate.clone(),
        caches.clone(),
        Reports::new().context("failed to prepare asking pods for their state")?,
        options.release,
        Events::new(instance),
        metrics,
    );
    let context = Arc::new(context.with_concurrency(options.concurrency));

    let end = CancellationToken::new();
    let election = tokio::spawn(elect(candidate, standing, caches.clone(), end.clone()));
    let resources = controller.store();
    let forgetting = forgetting(context.clone(), resources);
    let work = controller
        .with_config(Config::default().concurrency(options.concurrency))
        .reconcile_all_on(terms(stands, context.clone()))
        .run(reconcile, on_error, context);
    let work = std::pin::pin!(work);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    let outcome = tokio::select! {
        () = drain(work) => Ok(()),
        served = serve(options.metrics_address, told.clone()) => served,
        stopped = stopped(&gate) => stopped,
        () = readiness(caches, told) => Ok(()),
        () = forgetting => Ok(()),
    };
    // Given back as the very last, when nothing of this operator is under way any more.
    end.cancel();
    election.await.context("failed to give the lease back")?;
    tracing::info!("ended");
    outcome
}

/// Takes part in the election from the time on at which there is something to lead by.
async fn elect(
    candidate: Candidate,
    standing: watch::Sender<Standing>,
    caches: Caches,
    end: CancellationToken,
) {
    let sees = end
        .run_until_cancelled(blind::sees_or_says_why(&caches))
        .await;
    if sees.is_some() {
        candidate.run(standing, end).await;
    }
}

/// Each beginning of a term. What was remembered from before is forgotten: another operator may have led meanwhile.
fn terms(stands: Receiver<Standing>, context: Arc<Context>) -> impl Stream<Item = ()> {
    let state = (stands, None, context);
    futures::stream::unfold(state, |(mut stands, mut last, context)| async move {
        loop {
            stands.changed().await.ok()?;
            let term = stands.borrow_and_update().term;
            if std::mem::replace(&mut last, term) == term {
                continue; // only who else leads has changed
            }
            context.metrics.lead(term.is_some());
            if term.is_some() {
                context.clear_all();
                return Some(((), (stands, last, context)));
            }
        }
    })
}

/// Forgets what is gone, again and again. Never ends.
async fn forgetting(context: Arc<Context>, resources: Store<Guarded>) {
    let mut turns = tokio::time::interval(FORGET);
    loop {
        turns.tick().await;
        context.forget_gone(&resources);
    }
}

/// Who waits for the Lease is as ready as who has it. Never ends.
async fn readiness(caches: Caches, told: Told) {
    if caches.wait().await.is_ok() {
        told.set_ready();
        tracing::info!("the caches are filled");
    }
    std::future::pending::<()>().await;
}

/// Waits until the process is told to end, and then for the writes under way.
async fn stopped(gate: &Gate) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to end");
    let closed = tokio::time::timeout(LAST_WRITE, gate.close()).await;
    if closed.is_err() {
        tracing::warn!("a write is still without an answer");
    }
    Ok(())
}

/// Everything a controller reports about its own work, for the log.
async fn drain(
    mut work: impl Stream<
        Item = Result<
            (ObjectRef<Guarded>, kube::runtime::controller::Action),
            kube::runtime::controller::Error<Error, watcher::Error>,
        >,
    > + Unpin,
) {
    while let Some(result) = work.next().await {
        match result {
            // Failed passes are logged where they happen, with the resource's name; what is not found was deleted
            // while it waited for its turn.
            Ok(_)
            | Err(
                kube::runtime::controller::Error::ReconcilerFailed(..)
                | kube::runtime::controller::Error::ObjectNotFound(_),
            ) => {}
            Err(error) => {
                tracing::warn!(error = %crate::error::in_full(&error), "a watch failed and is repeated");
            }
        }
    }
}
