//! `chatbot worker`: answers messages, with broker and store outside.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chatbot_crds::config::WorkersConfig;
use chatbot_store::redis::{RedisAnswers, RedisCodes};
use chatbot_worker::{Handle, Limits, Surroundings};

use crate::backbone::{self, Backbone, Role};
use crate::process;

/// Answers messages until SIGTERM.
pub async fn worker(path: &Path, admin_port: u16) -> Result<()> {
    let WorkersConfig { worker, backbone } = process::configuration(path)?;
    process::pod(None, admin_port, async |telemetry, shutdown| {
        let life = Duration::from_secs(worker.cache.answers_ttl_seconds);
        let near = worker.cache.context_bytes;
        let connecting = backbone::connect(backbone, Role::Worker, near, &telemetry, &shutdown);
        let Some(Backbone {
            log,
            view,
            previews,
        }) = connecting.await?
        else {
            return Ok(());
        };
        let answers = RedisAnswers::new(view.connection().clone(), life);
        let codes = RedisCodes::new(view.connection().clone());
        let surroundings = Surroundings {
            log,
            view,
            codes: Arc::new(codes),
            previews,
            answers: Some(Arc::new(answers)),
            telemetry,
            handle: Handle::default(),
        };
        chatbot_worker::run(worker, surroundings, Limits::default(), shutdown).await
    })
    .await
}
