//! The engine's thread: all sequences under way are continued together, a batch per step.
//!
//! A batch holds the next token of every answer being written and a bounded chunk of prompts being read, so that a
//! long prompt slows the answers of others down and never stops them.

use std::collections::VecDeque;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::native;
use crate::sequence::{Answer, Job, Sequence};

/// Prompt tokens read in one step when nobody else waits for the next token of an answer.
pub(crate) const CHUNK_ALONE: usize = 128;
/// Prompt tokens read in one step beside answers being written.
const CHUNK_BESIDE: usize = 48;

pub(crate) struct Scheduler<'model> {
    model: &'model LlamaModel,
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    sequences: Vec<Sequence>,
    waiting: VecDeque<Job>,
    taken: u64,
}

impl<'model> Scheduler<'model> {
    pub fn new(model: &'model LlamaModel, context: LlamaContext<'model>, sequences: usize) -> Self {
        Self {
            model,
            context,
            batch: LlamaBatch::new(CHUNK_ALONE + sequences, 1),
            sequences: (0..sequences).map(|_| Sequence::default()).collect(),
            waiting: VecDeque::new(),
            taken: 0,
        }
    }

    /// Works until the other end of `jobs` is gone and everything taken is answered.
    pub fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        loop {
            if self.idle() {
                match jobs.blocking_recv() {
                    Some(job) => self.waiting.push_back(job),
                    None => return,
                }
            }
            while let Ok(job) = jobs.try_recv() {
                self.waiting.push_back(job);
            }
            self.drop_abandoned();
            self.admit();
            self.step();
        }
    }

    fn idle(&self) -> bool {
        self.waiting.is_empty()
            && self
                .sequences
                .iter()
                .all(|sequence| sequence.answer.is_none())
    }

    fn drop_abandoned(&mut self) {
        self.waiting.retain(|job| !job.events.is_closed());
        for sequence in &mut self.sequences {
            if sequence.answer.as_ref().is_some_and(Answer::abandoned) {
                sequence.answer = None;
            }
        }
    }

    /// Gives free places to those who wait, to each the place that holds most of the beginning of its prompt.
    fn admit(&mut self) {
        while let Some(job) = self.waiting.front() {
            let free = self
                .sequences
                .iter()
                .enumerate()
                .filter(|(_, sequence)| sequence.answer.is_none());
            let best = free.max_by_key(|(_, sequence)| {
                (
                    common(&sequence.held, &job.prompt),
                    std::cmp::Reverse(sequence.used),
                )
            });
            let Some((index, _)) = best else { return };
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            self.taken += 1;
            // The last token of the prompt is always read anew: the first token of the answer is drawn from it.
            let shared = common(&self.sequences[index].held, &job.prompt)
                .min(job.prompt.len().saturating_sub(1));
            let cached = self.keep(index, shared);
            let sequence = &mut self.sequences[index];
            sequence.used = self.taken;
            sequence.answer = Some(Answer::begin(job, cached));
        }
    }

    /// Forgets all but the first `tokens` tokens of a place; returns how many are left.
    fn keep(&mut self, index: usize, tokens: usize) -> usize {
        let place = u32::try_from(index).ok();
        let from = u32::try_from(tokens).ok();
        // Models with a recurrent state cannot forget the end of a sequence only.
        let left = if matches!(self.context.clear_kv_cache_seq(place, from, None), Ok(true)) {
            tokens
        } else {
            let _ = self.context.clear_kv_cache_seq(place, None, None);
            0
        };
        self.sequences[index].held.truncate(left);
        left
    }

    fn step(&mut self) {
        self.batch.clear();
        if let Err(error) = self.fill() {
            return self.fail_all(&error.to_string());
        }
        if self.batch.n_tokens() == 0 {
            return;
        }
        if let Err(error) = self.context.decode(&mut self.batch) {
            return self.fail_all(&format!("{error}: {}", native::last_error()));
        }
        for sequence in &mut self.sequences {
            let Some(answer) = &mut sequence.answer else {
                continue;
            };
            let Some(output) = answer.output.take() else {
                continue;
            };
            if answer.draw(self.model, &self.context, output) {
                sequence.answer = None;
            }
        }
    }

    fn fill(&mut self) -> Result<(), llama_cpp_2::llama_batch::BatchAddError> {
        let mut writing = false;
        for (index, sequence) in self.sequences.iter_mut().enumerate() {
            let Some(answer) = &mut sequence.answer else {
                continue;
            };
            let Some(token) = answer.next.take() else {
                continue;
            };
            answer.output = Some(self.batch.n_tokens());
            add(&mut self.batch, token, index, &mut sequence.held, true)?;
            writing = true;
        }
        let mut left = if writing { CHUNK_BESIDE } else { CHUNK_ALONE };
        // First come, first read: sharing a chunk among prompts would make all of them wait for the longest.
        let mut reading: Vec<_> = (0..self.sequences.len()).collect();
        reading.sort_by_key(|index| self.sequences[*index].used);
        for index in reading {
            let sequence = &mut self.sequences[index];
            let Some(answer) = &mut sequence.answer else {
                continue;
            };
            if answer.output.is_some() {
                continue;
            }
            let start = sequence.held.len();
            let chunk = left.min(answer.prompt.len() - start);
            left -= chunk;
            for place in start..start + chunk {
                let last = place + 1 == answer.prompt.len();
                if last {
                    answer.output = Some(self.batch.n_tokens());
                }
                add(
                    &mut self.batch,
                    answer.prompt[place],
                    index,
                    &mut sequence.held,
                    last,
                )?;
            }
        }
        Ok(())
    }

    /// Ends every answer of a batch that could not be computed. What the engine's memory holds of it is not known, so
    /// it is forgotten.
    fn fail_all(&mut self, reason: &str) {
        tracing::error!(reason, "failed to compute a batch");
        for index in 0..self.sequences.len() {
            if let Some(answer) = self.sequences[index].answer.take() {
                answer.fail(format!("failed to compute the answer: {reason}"));
                self.keep(index, 0);
            }
        }
    }
}

/// Adds a token to the batch and to what its place holds.
fn add(
    batch: &mut LlamaBatch<'_>,
    token: LlamaToken,
    place: usize,
    held: &mut Vec<LlamaToken>,
    output: bool,
) -> Result<(), llama_cpp_2::llama_batch::BatchAddError> {
    let too_many = llama_cpp_2::llama_batch::BatchAddError::InsufficientSpace(held.len());
    let (Ok(position), Ok(place)) = (i32::try_from(held.len()), i32::try_from(place)) else {
        return Err(too_many);
    };
    batch.add(token, position, &[place], output)?;
    held.push(token);
    Ok(())
}

/// Tokens that two sequences have in common from the beginning.
fn common(one: &[LlamaToken], other: &[LlamaToken]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}
