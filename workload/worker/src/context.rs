//! What the model is given: system prompt, as much history as fits, the question. Pure.

use chatbot_crds::config::WorkerConfig;
use chatbot_store::Turn;
use serde::Serialize;

/// One entry of a chat completion request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    role: &'static str,
    content: String,
}

impl Entry {
    /// What a user says.
    pub(crate) fn question(content: &str) -> Self {
        Self::new("user", content)
    }

    fn new(role: &'static str, content: &str) -> Self {
        Self {
            role,
            content: content.to_owned(),
        }
    }

    fn tokens(&self) -> usize {
        tokens(&self.content) + OVERHEAD
    }
}

/// A request without history.
pub(crate) struct Question<'a> {
    /// Empty when there is no system prompt.
    pub(crate) system: &'a str,
    pub(crate) question: &'a str,
}

impl<'a> Question<'a> {
    /// Nothing when the model is given more than system prompt and question.
    pub(crate) fn alone(entries: &'a [Entry]) -> Option<Self> {
        match entries {
            [question] if question.role == "user" => Some(Self {
                system: "",
                question: &question.content,
            }),
            [system, question] if system.role == "system" && question.role == "user" => {
                Some(Self {
                    system: &system.content,
                    question: &question.content,
                })
            }
            _ => None,
        }
    }
}

/// Turns of history that the model is given.
pub(crate) fn turns(entries: &[Entry]) -> usize {
    let answers = entries.iter().filter(|entry| entry.role == "assistant");
    answers.count()
}

/// Tokens that a chat template puts around an entry, generously.
const OVERHEAD: usize = 8;

/// A rough estimate, rather too high than too low: the tokenizer is the model's own and not known here. What it
/// misjudges, the model refuses, and then it is asked with less history.
fn tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|char| !char.is_ascii()).count();
    ascii.div_ceil(3) + others + others / 2
}

/// The session that the view has, with what this owner answered since, oldest first. A turn may stand in both.
pub(crate) fn merge(session: Vec<Turn>, own: Vec<Turn>) -> Vec<Turn> {
    let mut turns = session;
    turns.retain(|turn| own.iter().all(|own| own.message_id != turn.message_id));
    turns.extend(own);
    turns
}

/// The entries of a request: the latest of at most `limit` turns, as many as fit; the oldest go first. A fallback text
/// is no part of a conversation with the model.
pub(crate) fn entries(
    config: &WorkerConfig,
    system_prompt: &str,
    turns: &[Turn],
    limit: usize,
    question: &str,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    if !system_prompt.is_empty() {
        entries.push(Entry::new("system", system_prompt));
    }
    let question = Entry::question(question);
    let fixed: usize = entries.iter().chain([&question]).map(Entry::tokens).sum();
    let budget = config
        .context_tokens
        .saturating_sub(config.max_answer_tokens);
    let mut left = usize::try_from(budget)
        .unwrap_or(usize::MAX)
        .saturating_sub(fixed);
    let mut history = Vec::new();
    for turn in turns.iter().rev().filter(|turn| !turn.fallback).take(limit) {
        let answer = Entry::new("assistant", &turn.answer);
        let asked = Entry::question(&turn.question);
        let needed = answer.tokens() + asked.tokens();
        if needed > left {
            break;
        }
        left -= needed;
        history.extend([answer, asked]);
    }
    entries.extend(history.into_iter().rev());
    entries.push(question);
    entries
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chatbot_crds::config::CacheConfig;
    use uuid::Uuid;

    pub(crate) fn config(context_tokens: u32) -> WorkerConfig {
        WorkerConfig {
            cluster: "test/test".to_owned(),
            inference_url: String::new(),
            model: "m".to_owned(),
            system_prompt: None,
            history_turns: 10,
            session_timeout_seconds: 60,
            max_answer_tokens: 100,
            temperature: 0.0,
            fallback_message: "sorry".to_owned(),
            context_tokens,
            cache: CacheConfig::default(),
        }
    }

    fn turn(number: u64, fallback: bool) -> Turn {
        Turn {
            position: number,
            at: 0,
            message_id: Uuid::from_u128(number.into()),
            question: format!("q{number}"),
            answer: format!("a{number}"),
            fallback,
        }
    }

    fn contents(config: &WorkerConfig, system: &str, turns: &[Turn], limit: usize) -> String {
        let entries = entries(config, system, turns, limit, "now");
        let entry = |entry: &Entry| format!("{}:{}", &entry.role[..1], entry.content);
        entries.iter().map(entry).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn history_stands_between_the_system_prompt_and_the_question_without_fallbacks() {
        let turns = [turn(1, false), turn(2, true), turn(3, false)];
        assert_eq!(
            contents(&config(4_096), "be kind", &turns, 10),
            "s:be kind u:q1 a:a1 u:q3 a:a3 u:now"
        );
        assert_eq!(contents(&config(4_096), "", &turns, 1), "u:q3 a:a3 u:now");
        assert_eq!(contents(&config(4_096), "", &turns, 0), "u:now");
    }

    #[test]
    fn the_oldest_turns_make_room_and_the_question_always_stays() {
        let turns = [turn(1, false), turn(2, false), turn(3, false)];
        // A turn is 2 × (1 + 8), the question 1 + 8.
        assert_eq!(
            contents(&config(100 + 9 + 36), "", &turns, 10),
            "u:q2 a:a2 u:q3 a:a3 u:now"
        );
        assert_eq!(
            contents(&config(100 + 9 + 35), "", &turns, 10),
            "u:q3 a:a3 u:now"
        );
        assert_eq!(contents(&config(50), "", &turns, 10), "u:now");
    }

    #[test]
    fn a_turn_in_the_view_and_in_memory_stands_once() {
        let merged = merge(
            vec![turn(1, false), turn(2, false)],
            vec![turn(2, false), turn(3, false)],
        );
        assert_eq!(merged, [turn(1, false), turn(2, false), turn(3, false)]);
    }

    #[test]
    fn other_scripts_are_not_underestimated() {
        assert_eq!(tokens("abcdef"), 2);
        assert_eq!(tokens("你好世界"), 6);
    }
}
