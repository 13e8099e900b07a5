//! One place in the engine's memory, and the request that is being answered in it.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::UnboundedSender;

use crate::request::{Event, Finish, Request, Usage};
use crate::text::Text;

/// A request, ready for the engine's thread.
pub(crate) struct Job {
    pub prompt: Vec<LlamaToken>,
    /// Longest answer, in tokens, at least 1.
    pub limit: usize,
    pub request: Request,
    pub events: UnboundedSender<Event>,
}

/// A place for one sequence of tokens. What it held last stays, so that a conversation that goes on there needs only
/// its new tokens to be read.
#[derive(Default)]
pub(crate) struct Sequence {
    /// The tokens whose keys and values are in the engine's memory.
    pub held: Vec<LlamaToken>,
    /// The request being answered; absent when the place is free.
    pub answer: Option<Answer>,
    /// When it was last given to a request, by count.
    pub used: u64,
}

/// A request being answered.
pub(crate) struct Answer {
    pub prompt: Vec<LlamaToken>,
    /// The token drawn last, which the engine has not read yet; absent while the prompt is being read.
    pub next: Option<LlamaToken>,
    /// Where in the current batch the token is whose continuation will be drawn.
    pub output: Option<i32>,
    events: UnboundedSender<Event>,
    sampler: LlamaSampler,
    text: Text,
    limit: usize,
    drawn: usize,
    cached: usize,
}

impl Answer {
    /// Begins to answer where `cached` tokens of the prompt are held already.
    pub fn begin(job: Job, cached: usize) -> Self {
        Self {
            sampler: sampler(&job.request),
            text: Text::new(job.request.stop),
            prompt: job.prompt,
            next: None,
            output: None,
            events: job.events,
            limit: job.limit,
            drawn: 0,
            cached,
        }
    }

    /// Whether nobody waits for the answer any more.
    pub fn abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Draws the next token from the batch just computed. True when the answer is complete, which has been told then.
    pub fn draw(
        &mut self,
        model: &LlamaModel,
        context: &llama_cpp_2::context::LlamaContext<'_>,
        output: i32,
    ) -> bool {
        let token = self.sampler.sample(context, output);
        let vocabulary = model.vocab();
        if vocabulary.is_eog(token) {
            return self.end(Finish::Stop);
        }
        self.drawn += 1;
        let piece = self
            .text
            .push(&vocabulary.token_to_piece(token, false, None));
        self.tell(piece.text);
        if piece.stopped {
            return self.end(Finish::Stop);
        }
        if self.drawn >= self.limit {
            return self.end(Finish::Length);
        }
        self.next = Some(token);
        false
    }

    /// Tells that the answer will not be completed.
    pub fn fail(&self, reason: String) {
        // Nobody listening is no fault of the engine.
        let _ = self.events.send(Event::Failed(reason));
    }

    fn tell(&self, text: String) {
        if !text.is_empty() {
            let _ = self.events.send(Event::Text(text));
        }
    }

    fn end(&mut self, finish: Finish) -> bool {
        let rest = self.text.finish();
        self.tell(rest);
        let usage = Usage {
            prompt_tokens: count(self.prompt.len()),
            cached_tokens: count(self.cached),
            completion_tokens: count(self.drawn),
        };
        let _ = self.events.send(Event::Done { finish, usage });
        true
    }
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

fn sampler(request: &Request) -> LlamaSampler {
    if request.temperature <= 0.0 {
        return LlamaSampler::greedy();
    }
    let mut steps = Vec::new();
    if request.top_p < 1.0 {
        steps.push(LlamaSampler::top_p(request.top_p, 1));
    }
    steps.push(LlamaSampler::temp(request.temperature));
    steps.push(LlamaSampler::dist(seed(request.seed)));
    LlamaSampler::chain_simple(steps)
}

/// The engine's seeds have 32 bits, and all ones means "a new one every time".
fn seed(seed: Option<u64>) -> u32 {
    let Some(seed) = seed else { return u32::MAX };
    let folded = (seed ^ (seed >> 32)) & u64::from(u32::MAX);
    u32::try_from(folded).unwrap_or_default().min(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_is_given_is_never_the_one_that_means_none() {
        assert_eq!(seed(Some(7)), 7);
        assert_ne!(seed(Some(u64::from(u32::MAX))), u32::MAX);
        assert_ne!(seed(Some(0xffff_ffff_0000_0000)), u32::MAX);
        assert_eq!(seed(None), u32::MAX);
    }
}
