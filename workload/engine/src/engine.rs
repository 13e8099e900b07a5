//! The engine: a model and its thread.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::gguf::{self, Broken};
use crate::native;
use crate::prompt::Prompt;
use crate::request::{Event, ModelFacts, Refused, Request};
use crate::scheduler::{CHUNK_ALONE, Scheduler};
use crate::sequence::Job;

/// The most sequences that one engine can continue together.
pub const MAX_SEQUENCES: u32 = 256;

/// How much an engine does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tokens of each sequence: prompt and answer together.
    pub context_tokens: u32,
    /// Sequences continued together, up to [`MAX_SEQUENCES`].
    pub sequences: u32,
    /// Threads that compute.
    pub threads: u32,
}

/// Why there is no engine. What is wrong with a value does not name the field: only who has read it knows its name.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] Broken),
    /// The engine does not take this model.
    #[error(
        "the engine refused the model `{path}`: {reason}: name an instruction-tuned model in GGUF that it knows"
    )]
    Unsupported {
        /// The path.
        path: String,
        /// What the engine says.
        reason: String,
    },
    /// The context is longer than the model's.
    #[error(
        "{asked} is more than the {trained} that the model was trained to hold: \
         set it to {trained} or less"
    )]
    ContextTooLong {
        /// What was asked for.
        asked: u32,
        /// What the model holds.
        trained: u32,
    },
    /// More sequences than the engine can hold.
    #[error(
        "{asked} is more than the built-in engine's {MAX_SEQUENCES}: set it to {MAX_SEQUENCES} or less"
    )]
    TooManySequences {
        /// What was asked for.
        asked: u32,
    },
    /// No memory for the context, most likely.
    #[error(
        "failed to reserve memory for {sequences} requests of {context_tokens} tokens ({reason}): \
         lower contextTokens or maxConcurrentRequests, or give the instance more memory"
    )]
    Context {
        /// Sequences.
        sequences: u32,
        /// Tokens of each.
        context_tokens: u32,
        /// What the engine says.
        reason: String,
    },
    /// The library or its thread could not be started.
    #[error("failed to start the engine: {reason}")]
    Start {
        /// Why.
        reason: String,
    },
}

/// A model being served. Dropping it ends its thread once everything taken is answered or abandoned.
pub struct Engine {
    model: Arc<LlamaModel>,
    prompt: Prompt,
    facts: ModelFacts,
    context_tokens: u32,
    jobs: UnboundedSender<Job>,
}

impl Engine {
    /// Maps the model into memory and starts the thread. Takes a while for a large model: not for an async thread.
    pub fn load(path: &Path, options: Options) -> Result<Self, LoadError> {
        let header = gguf::read(path)?;
        if options.sequences > MAX_SEQUENCES {
            return Err(LoadError::TooManySequences {
                asked: options.sequences,
            });
        }
        let unsupported = |reason: String| LoadError::Unsupported {
            path: path.display().to_string(),
            reason,
        };
        let backend = native::backend().ok_or_else(|| LoadError::Start {
            reason: "the library is in use already".to_owned(),
        })?;
        let parameters = LlamaModelParams::default()
            .with_use_mmap(true)
            .with_n_gpu_layers(0);
        let model = LlamaModel::load_from_file(backend, path, &parameters)
            .map_err(|_| unsupported(native::last_error()))?;
        let facts = ModelFacts {
            format: header.format,
            bytes: header.bytes,
            parameters: model.n_params(),
            trained_context_tokens: model.n_ctx_train(),
        };
        if options.context_tokens > facts.trained_context_tokens {
            return Err(LoadError::ContextTooLong {
                asked: options.context_tokens,
                trained: facts.trained_context_tokens,
            });
        }
        let prompt = Prompt::of(&model).map_err(unsupported)?;
        let model = Arc::new(model);
        let jobs = start(Arc::clone(&model), backend, options)?;
        Ok(Self {
            model,
            prompt,
            facts,
            context_tokens: options.context_tokens,
            jobs,
        })
    }

    /// What is known about the model.
    #[must_use]
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Begins to answer; dropping the receiver ends the work. Reads the whole prompt into tokens first, which for a
    /// long one takes milliseconds.
    pub fn answer(&self, request: Request) -> Result<UnboundedReceiver<Event>, Refused> {
        let prompt = self.prompt.tokens(&self.model, &request.turns)?;
        let context = usize::try_from(self.context_tokens).unwrap_or(usize::MAX);
        let left = context.saturating_sub(prompt.len());
        if left == 0 || prompt.is_empty() {
            return Err(Refused::PromptTooLong {
                prompt_tokens: prompt.len(),
                context_tokens: self.context_tokens,
            });
        }
        let asked = request
            .max_tokens
            .and_then(|tokens| usize::try_from(tokens).ok())
            .unwrap_or(left);
        let (events, receiver) = unbounded_channel();
        let job = Job {
            prompt,
            limit: asked.clamp(1, left),
            request,
            events,
        };
        self.jobs.send(job).map_err(|_| Refused::Stopped)?;
        Ok(receiver)
    }

    /// Waits until the engine's thread has ended, which it never does by itself.
    pub async fn stopped(&self) {
        self.jobs.closed().await;
    }
}

/// Starts the engine's thread and waits until its memory is reserved.
fn start(
    model: Arc<LlamaModel>,
    backend: &'static LlamaBackend,
    options: Options,
) -> Result<UnboundedSender<Job>, LoadError> {
    let (jobs, receiver) = unbounded_channel();
    let (started, outcome) = std::sync::mpsc::sync_channel(1);
    let work = move || match context(&model, backend, options) {
        Ok(context) => {
            let sequences = usize::try_from(options.sequences).unwrap_or(1);
            let scheduler = Scheduler::new(&model, context, sequences);
            let _ = started.send(Ok(()));
            scheduler.run(receiver);
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    };
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(work)
        .map_err(|error| LoadError::Start {
            reason: error.to_string(),
        })?;
    outcome
        .recv()
        .map_err(|_| LoadError::Start {
            reason: "its thread ended".to_owned(),
        })?
        .map(|()| jobs)
}

fn context<'model>(
    model: &'model LlamaModel,
    backend: &LlamaBackend,
    options: Options,
) -> Result<LlamaContext<'model>, LoadError> {
    let failed = |reason: String| LoadError::Context {
        sequences: options.sequences,
        context_tokens: options.context_tokens,
        reason,
    };
    let tokens = options
        .context_tokens
        .checked_mul(options.sequences)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| failed("their product is zero or too large".to_owned()))?;
    let threads = i32::try_from(options.threads.max(1)).unwrap_or(1);
    let chunk = u32::try_from(CHUNK_ALONE)
        .unwrap_or(u32::MAX)
        .saturating_add(options.sequences);
    let parameters = LlamaContextParams::default()
        .with_n_ctx(Some(tokens))
        .with_n_batch(chunk)
        .with_n_ubatch(chunk)
        .with_n_seq_max(options.sequences)
        .with_kv_unified(false)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    model
        .new_context(backend, parameters)
        .map_err(|_| failed(native::last_error()))
}
