//! Spans and bounds of a worker.

use std::time::Duration;

/// Spans and bounds; the default is what production uses.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Answers being asked for at once, over all partitions.
    pub in_flight: usize,
    /// Messages taken above the lowest unsettled one of a partition.
    pub above_commit: u64,
    /// Between commits.
    pub commit_interval: Duration,
    /// After being fenced, before announcing again: else two owners can duel for ever.
    pub heartbeat: Duration,
    /// For what is under way when a partition is taken away or the worker ends.
    pub drain: Duration,
    /// For the last commit and letting go.
    pub last_words: Duration,
    /// For the view to come far enough, before answering without history.
    pub context_wait: Duration,
    /// For what somebody was answered to be delivered, before they are linked or apart.
    pub delivery_wait: Duration,
    /// Between owner records of the same owner: far below the retention of the journal.
    pub announce_interval: Duration,
    /// Between looks at the links of a partition.
    pub mend_interval: Duration,
    /// After which a synthetic conversation has failed.
    pub synthetic_patience: Duration,
    /// To connect to inference.
    pub connect: Duration,
    /// Between the kernel's questions whether the other side is still there; a dead one is noticed after four.
    pub keepalive: Duration,
    /// To the first token: a long prompt, behind others that wait. Only a process that hangs while its kernel answers is
    /// noticed by this and the next; a dead one or a node cut off is noticed by `keepalive`.
    pub first_token: Duration,
    /// Between tokens; others' long prompts may come in between.
    pub between_tokens: Duration,
    /// Before asking again, the first time.
    pub retry_first: Duration,
    /// Before asking again, at most.
    pub retry_cap: Duration,
    /// What is believed of a busy instance's Retry-After.
    pub retry_after_cap: Duration,
    /// Between previews of one answer.
    pub preview_interval: Duration,
    /// Between looks at the system prompt's file.
    pub prompt_interval: Duration,
    /// For the model to say whether it takes a system prompt, before it is used untried.
    pub prompt_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 64,
            above_commit: 4_096,
            commit_interval: Duration::from_millis(100),
            heartbeat: Duration::from_millis(1_500),
            drain: Duration::from_secs(20),
            last_words: Duration::from_secs(2),
            context_wait: Duration::from_secs(2),
            delivery_wait: Duration::from_secs(15),
            announce_interval: Duration::from_hours(1),
            mend_interval: Duration::from_hours(1),
            synthetic_patience: Duration::from_secs(20),
            connect: Duration::from_secs(1),
            keepalive: Duration::from_secs(1),
            first_token: Duration::from_mins(2),
            between_tokens: Duration::from_secs(20),
            retry_first: Duration::from_millis(200),
            retry_cap: Duration::from_secs(5),
            retry_after_cap: Duration::from_secs(30),
            preview_interval: Duration::from_millis(50),
            prompt_interval: Duration::from_secs(2),
            prompt_patience: Duration::from_secs(5),
        }
    }
}
