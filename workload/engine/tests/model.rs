//! The engine with a real model, named by `CHATBOT_TEST_MODEL`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test fails by panicking.

use std::path::PathBuf;

use chatbot_engine::{
    Engine, Event, Finish, Format, LoadError, Options, Refused, Request, Role, Turn, Usage, convert,
};
use tokio::sync::mpsc::UnboundedReceiver;

const OPTIONS: Options = Options {
    context_tokens: 512,
    sequences: 4,
    threads: 1,
};

fn model() -> PathBuf {
    PathBuf::from(
        std::env::var_os("CHATBOT_TEST_MODEL").expect("CHATBOT_TEST_MODEL names a GGUF file"),
    )
}

fn engine() -> Engine {
    Engine::load(&model(), OPTIONS).unwrap()
}

fn turn(role: Role, content: &str) -> Turn {
    Turn {
        role,
        content: content.to_owned(),
    }
}

fn ask(question: &str) -> Request {
    Request {
        turns: vec![turn(Role::User, question)],
        max_tokens: Some(24),
        temperature: 0.0,
        top_p: 1.0,
        seed: None,
        stop: vec![],
    }
}

fn answer(mut events: UnboundedReceiver<Event>) -> (String, Finish, Usage) {
    let mut text = String::new();
    loop {
        match events.blocking_recv().expect("an answer ends with Done") {
            Event::Text(piece) => text.push_str(&piece),
            Event::Done { finish, usage } => return (text, finish, usage),
            Event::Failed(reason) => panic!("{reason}"),
        }
    }
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn the_capital_of_france_is_paris() {
    let engine = engine();
    let (text, _, usage) = answer(
        engine
            .answer(ask("What is the capital of France?"))
            .unwrap(),
    );
    assert!(text.contains("Paris"), "{text}");
    assert!(
        usage.prompt_tokens > 5 && usage.completion_tokens > 1,
        "{usage:?}"
    );
    assert_eq!(engine.facts().format, "Q8_0");
    assert!(engine.facts().parameters > 100_000_000);
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn answers_written_together_are_those_written_alone() {
    let engine = engine();
    let questions = [
        "What is the capital of France?",
        "Count from one to ten.",
        "Name three colours.",
        "Say hello.",
    ];
    let alone: Vec<_> = questions
        .iter()
        .map(|question| answer(engine.answer(ask(question)).unwrap()).0)
        .collect();
    let under_way: Vec<_> = questions
        .iter()
        .map(|question| engine.answer(ask(question)).unwrap())
        .collect();
    let together: Vec<_> = under_way
        .into_iter()
        .map(|events| answer(events).0)
        .collect();
    for (alone, together) in alone.iter().zip(&together) {
        // Batched arithmetic rounds differently, so that a late word may differ; a mixed-up sequence differs at once.
        let beginning = alone.chars().take(16).collect::<String>();
        assert!(
            together.starts_with(&beginning),
            "alone: {alone}\ntogether: {together}"
        );
    }
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn more_requests_than_places_are_all_answered() {
    let engine = engine();
    let under_way: Vec<_> = (0..9)
        .map(|n| {
            engine
                .answer(ask(&format!("What is {n} plus one?")))
                .unwrap()
        })
        .collect();
    for events in under_way {
        assert!(!answer(events).0.is_empty());
    }
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_conversation_that_goes_on_reads_only_what_is_new() {
    let engine = engine();
    let mut request = ask("What is the capital of France?");
    let (text, _, first) = answer(engine.answer(request.clone()).unwrap());
    request.turns.push(turn(Role::Assistant, &text));
    request.turns.push(turn(Role::User, "And of Italy?"));
    let (_, _, second) = answer(engine.answer(request).unwrap());
    assert_eq!(first.cached_tokens, 0);
    assert!(
        second.cached_tokens >= first.prompt_tokens,
        "{first:?} {second:?}"
    );
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_stop_sequence_ends_the_answer_and_is_not_shown() {
    let engine = engine();
    let (whole, _, _) = answer(
        engine
            .answer(ask("What is the capital of France?"))
            .unwrap(),
    );
    let mut request = ask("What is the capital of France?");
    request.stop = vec!["Paris".to_owned()];
    let (text, finish, _) = answer(engine.answer(request).unwrap());
    assert_eq!(finish, Finish::Stop);
    assert_eq!(text, whole.split("Paris").next().unwrap());
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn an_answer_has_no_more_tokens_than_were_asked_for() {
    let engine = engine();
    let mut request = ask("Tell me a long story about a ship.");
    request.max_tokens = Some(5);
    let (_, finish, usage) = answer(engine.answer(request).unwrap());
    assert_eq!((finish, usage.completion_tokens), (Finish::Length, 5));
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn an_answer_ends_where_the_context_does() {
    let engine = Engine::load(
        &model(),
        Options {
            context_tokens: 256,
            ..OPTIONS
        },
    )
    .unwrap();
    let mut request = ask(&"word ".repeat(200));
    request.max_tokens = None;
    request.temperature = 1.9;
    let (_, _, usage) = answer(engine.answer(request).unwrap());
    assert!(
        usage.prompt_tokens + usage.completion_tokens <= 256,
        "{usage:?}"
    );
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn the_same_seed_draws_the_same_answer() {
    let engine = engine();
    let mut request = ask("Invent a name for a cat.");
    request.temperature = 1.2;
    request.seed = Some(7);
    let first = answer(engine.answer(request.clone()).unwrap()).0;
    // In a fresh place, so that both are computed alike.
    let second = answer(self::engine().answer(request.clone()).unwrap()).0;
    assert_eq!(first, second);
    request.seed = Some(8);
    assert_ne!(first, answer(self::engine().answer(request).unwrap()).0);
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_dropped_answer_frees_its_place_at_once() {
    let options = Options {
        context_tokens: 4096,
        sequences: 1,
        ..OPTIONS
    };
    let engine = Engine::load(&model(), options).unwrap();
    let mut endless = ask("Count from one to one thousand, in words.");
    endless.max_tokens = None;
    let mut events = engine.answer(endless).unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        assert!(matches!(events.blocking_recv(), Some(Event::Text(_))));
    }
    let per_token = begun.elapsed() / 10;
    let waiting = engine.answer(ask("Say hello.")).unwrap();
    drop(events);
    let dropped = std::time::Instant::now();
    let (text, _, _) = answer(waiting);
    assert!(!text.is_empty());
    // The endless answer would take some 4,000 tokens more, the waiting one about 50.
    assert!(
        dropped.elapsed() < per_token * 1000,
        "{:?}",
        dropped.elapsed()
    );
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_user_cannot_end_their_turn_by_spelling_a_control_token() {
    let engine = engine();
    let tokens = |content: &str| answer(engine.answer(ask(content)).unwrap()).2.prompt_tokens;
    let plain = tokens("x");
    assert!(
        tokens("x<|im_end|>") > plain + 2,
        "the token was taken as one"
    );
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_conversation_longer_than_the_context_is_refused() {
    let refused = engine().answer(ask(&"word ".repeat(600))).unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::PromptTooLong {
                context_tokens: 512,
                ..
            }
        ),
        "{refused}"
    );
    assert!(matches!(
        engine().answer(ask("a\0b")),
        Err(Refused::Template { .. })
    ));
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_model_cut_short_or_asked_too_much_is_refused_before_it_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.gguf");
    let whole = std::fs::read(model()).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let error = Engine::load(&cut, OPTIONS).err().unwrap();
    assert!(error.to_string().contains("truncated"), "{error}");

    let asked = Options {
        context_tokens: 1 << 20,
        ..OPTIONS
    };
    let error = Engine::load(&model(), asked).err().unwrap();
    assert!(matches!(error, LoadError::ContextTooLong { .. }), "{error}");

    let asked = Options {
        sequences: 257,
        ..OPTIONS
    };
    let error = Engine::load(&model(), asked).err().unwrap();
    assert!(
        matches!(error, LoadError::TooManySequences { .. }),
        "{error}"
    );
}

#[test]
#[ignore = "needs a model: cargo e2e test"]
fn a_converted_model_is_smaller_and_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (wide, narrow) = (
        folder.path().join("f32.gguf"),
        folder.path().join("q8_0.gguf"),
    );
    let mut last = 0.0;
    let wide_header = convert(&model(), &wide, Format::F32, |progress| last = progress).unwrap();
    let narrow_header = convert(&wide, &narrow, Format::Q8_0, |_| {}).unwrap();
    assert!(last >= 1.0);
    assert_eq!(narrow_header.format, "Q8_0");
    let share = narrow_header.bytes as f64 / wide_header.bytes as f64;
    assert!((0.25..0.30).contains(&share), "{share}");
    let engine = Engine::load(&narrow, OPTIONS).unwrap();
    assert!(
        answer(
            engine
                .answer(ask("What is the capital of France?"))
                .unwrap()
        )
        .0
        .contains("Paris")
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
