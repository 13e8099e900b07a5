//! The web chat's page in a real browser, on the real gateway, worker, logs and view in one process. The model is played
//! where its answers have to be held in the middle, and real where they do not.

// Test support panics where a test would.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod chat;
#[path = "page/mod.rs"]
mod page;

use std::time::Duration;

use chat::{Chat, Process};
use page::{Browser, Page};

const PATIENCE: Duration = Duration::from_secs(30);
/// Keys as `WebDriver` names them; shift stays down until it is pressed again.
const SHIFT: &str = "\u{e008}";
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
/// A new line without sending.
const SHIFT_ENTER: &str = "\u{e008}\u{e007}\u{e008}";

#[test]
#[ignore = "needs a browser and a model: cargo e2e test"]
fn one_process_with_a_real_model_answers() {
    let process = Process::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &process.address, PATIENCE).unwrap();
    page.ask("What is the capital of France? Answer in one sentence.")
        .unwrap();
    let answer = page.wait_for_answer(2 * PATIENCE).unwrap();
    assert!(!answer.is_empty());
    page.keep_picture("real").unwrap();
    page.reload().unwrap();
    page.wait_for_connection("Connected", PATIENCE).unwrap();
    let turns = page.turns().unwrap();
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert_eq!(turns[0].answer, Some(answer));
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_question_is_answered_word_by_word_and_is_there_after_a_reload() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    assert_eq!(page.focused().unwrap(), "question", "one can type at once");
    chat.hold_answers_after(3);
    page.ask("How are you?").unwrap();
    let preview = page.wait_for_preview(PATIENCE).unwrap();
    assert!("You said: How are you?".starts_with(&preview), "{preview}");
    assert_eq!(page.turns().unwrap()[0].state, "Answering…");
    chat.let_answers_go();
    assert_eq!(
        page.wait_for_answer(PATIENCE).unwrap(),
        "You said: How are you?"
    );

    page.reload().unwrap();
    page.wait_for_connection("Connected", PATIENCE).unwrap();
    let turns = page.turns().unwrap();
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert_eq!(turns[0].question, "How are you?");
    assert_eq!(turns[0].answer.as_deref(), Some("You said: How are you?"));
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_page_reloaded_in_the_middle_of_an_answer_shows_it_when_it_comes() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    chat.hold_answers_after(2);
    page.ask("one").unwrap();
    page.wait_for_preview(PATIENCE).unwrap();
    page.reload().unwrap();
    page.wait_for_connection("Connected", PATIENCE).unwrap();
    chat.let_answers_go();
    assert_eq!(page.wait_for_answer(PATIENCE).unwrap(), "You said: one");
    assert_eq!(page.turns().unwrap().len(), 1);
    assert_eq!(chat.asked(), ["one"], "the model was asked once");
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_second_tab_shows_the_same_conversation() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let first = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    first.ask("one").unwrap();
    first.wait_for_answer(PATIENCE).unwrap();
    let second = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    assert_eq!(second.turns().unwrap(), first.turns().unwrap());

    chat.hold_answers_after(2);
    first.ask("two").unwrap();
    second.wait_for_preview(PATIENCE).unwrap();
    chat.let_answers_go();
    assert_eq!(second.wait_for_answer(PATIENCE).unwrap(), "You said: two");
    second.ask("three").unwrap();
    let all_answered =
        |turns: &[page::Turn]| turns.len() == 3 && turns.iter().all(|turn| turn.answer.is_some());
    let turns = first
        .wait_for_turns("three answers", PATIENCE, all_answered)
        .unwrap();
    assert_eq!(
        second
            .wait_for_turns("three answers", PATIENCE, all_answered)
            .unwrap(),
        turns
    );
    assert_eq!(chat.asked(), ["one", "two", "three"]);
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn what_is_written_without_a_connection_is_asked_once_there_is_one() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    page.ask("one").unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    chat.hold_answers_after(2);
    page.ask("two").unwrap();
    page.wait_for_preview(PATIENCE).unwrap();

    chat.cut_off();
    page.wait_for_connection("No connection", PATIENCE).unwrap();
    page.ask("three").unwrap();
    let turns = page.turns().unwrap();
    assert_eq!(turns[2].state, "Kept until there is a connection");
    chat.let_answers_go();
    chat.reconnect();
    let turns = page
        .wait_for_turns("three answers", PATIENCE, |turns| {
            turns.iter().all(|turn| turn.answer.is_some())
        })
        .unwrap();
    let answers: Vec<_> = turns
        .iter()
        .filter_map(|turn| turn.answer.as_deref())
        .collect();
    assert_eq!(
        answers,
        ["You said: one", "You said: two", "You said: three"]
    );
    assert_eq!(chat.asked(), ["one", "two", "three"], "each was asked once");
    page.wait_for_connection("Connected", PATIENCE).unwrap();
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_hub_that_restarts_and_forgets_is_asked_again_what_has_no_answer() {
    let mut chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    page.ask("one").unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    chat.hold_answers_after(2);
    page.ask("two").unwrap();
    page.wait_for_preview(PATIENCE).unwrap();
    chat.restart_the_hub();
    chat.let_answers_go();
    let turns = page
        .wait_for_turns("two answers", PATIENCE, |turns| {
            turns.iter().all(|turn| turn.answer.is_some())
        })
        .unwrap();
    assert_eq!(turns.len(), 2, "{turns:?}");
    let asked = chat.asked();
    assert_eq!(
        asked.iter().filter(|asked| *asked == "one").count(),
        1,
        "{asked:?}"
    );
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn everything_is_done_with_the_keyboard() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    page.type_keys(&format!(
        "first line{SHIFT}{ENTER}{SHIFT}second line{ENTER}"
    ))
    .unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    assert_eq!(page.turns().unwrap()[0].question, "first line\nsecond line");
    assert_eq!(
        page.focused().unwrap(),
        "question",
        "the focus stays where one writes"
    );

    page.type_keys(&format!("by the button{TAB}")).unwrap();
    assert_eq!(page.focused().unwrap(), "send");
    page.type_keys(" ").unwrap();
    page.wait_for_turns("a second question", PATIENCE, |turns| turns.len() == 2)
        .unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    assert_eq!(page.focused().unwrap(), "question");
    page.type_keys(&format!("{SHIFT}{TAB}{SHIFT}")).unwrap();
    assert_eq!(
        page.focused().unwrap(),
        "conversation",
        "one can scroll with the arrow keys"
    );
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_screen_reader_finds_names_for_everything() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    page.ask("one").unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    let nodes = page.accessible().unwrap();
    let has = |role: &str, name: &str| nodes.iter().any(|node| node.0 == role && node.1 == name);
    for (role, name) in [
        ("RootWebArea", "support"),
        ("heading", "support"),
        ("log", "Conversation"),
        ("textbox", "Your question"),
        ("button", "Send"),
        ("form", "Write a question"),
        ("heading", "You"),
        ("heading", "Answer"),
    ] {
        assert!(has(role, name), "no {role} named {name:?} in {nodes:?}");
    }
    assert!(nodes.iter().any(|node| node.0 == "status"), "{nodes:?}");
    let nameless = nodes.iter().find(|(role, name)| {
        ["button", "textbox", "link", "heading"].contains(&role.as_str()) && name.is_empty()
    });
    assert_eq!(nameless, None);

    // Only the finished answer is announced: what grows lies outside the live region's reach.
    chat.hold_answers_after(2);
    page.ask("two").unwrap();
    page.wait_for_preview(PATIENCE).unwrap();
    let live = "return document.querySelector('.answer[aria-busy]').getAttribute('aria-live')";
    assert_eq!(page.run(live).unwrap(), "off");
    chat.let_answers_go();
    page.wait_for_answer(PATIENCE).unwrap();
    let live =
        "return document.querySelector('.turn:last-of-type .answer').closest('[aria-live]').id";
    assert_eq!(page.run(live).unwrap(), "conversation");
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_narrow_phone_shows_all_of_it() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    page.show_as(320, 640, false).unwrap();
    let word = "Donaudampfschifffahrtsgesellschaftskapitän".repeat(4);
    page.ask(&format!(
        "```{SHIFT_ENTER}let x = \"{word}\";{SHIFT_ENTER}```"
    ))
    .unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    page.ask(&word).unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
    assert_eq!(page.overflow().unwrap(), 0);
    page.keep_picture("narrow").unwrap();
    let hidden = "return [...document.querySelectorAll('#question, #send, #title, #connection')].filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width < 1 || box.left < 0 || box.right > innerWidth || box.bottom > innerHeight;
    }).map((e) => e.id)";
    assert_eq!(page.run(hidden).unwrap(), serde_json::json!([]));
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn nothing_is_wider_than_its_window_in_any_of_its_looks() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    page.keep_picture("empty").unwrap();
    for question in [
        "What are your opening hours on public holidays?",
        &format!(
            "Please explain this, and then say `done`:{SHIFT_ENTER}```{SHIFT_ENTER}fn main() {{{SHIFT_ENTER}    println!(\"hello, world\");{SHIFT_ENTER}}}{SHIFT_ENTER}```{SHIFT_ENTER}It is a small program, and I would like to know what each of its lines is for."
        ),
    ] {
        page.ask(question).unwrap();
        page.wait_for_answer(PATIENCE).unwrap();
    }
    chat.hold_answers_after(6);
    page.ask("And may I return what I bought without the receipt?")
        .unwrap();
    page.wait_for_preview(PATIENCE).unwrap();
    for (name, width, height) in [("phone", 390, 760), ("desktop", 1280, 800)] {
        for (look, dark) in [("light", false), ("dark", true)] {
            page.show_as(width, height, dark).unwrap();
            page.run("document.getElementById('conversation').scrollTo(0, 1e6)")
                .unwrap();
            assert_eq!(page.overflow().unwrap(), 0, "{name}, {look}");
            page.keep_picture(&format!("{name}-{look}")).unwrap();
        }
    }
    chat.cut_off();
    page.wait_for_connection("No connection", PATIENCE).unwrap();
    page.keep_picture("cut-off").unwrap();
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn what_a_model_writes_never_becomes_markup() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    let question =
        "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";
    page.ask(question).unwrap();
    let answer = page.wait_for_answer(PATIENCE).unwrap();
    assert_eq!(answer, format!("You said: {question}"));
    let state = "return [document.title, document.querySelectorAll('#conversation img, #conversation script').length]";
    assert_eq!(page.run(state).unwrap(), serde_json::json!(["support", 0]));
}

#[test]
#[ignore = "needs a browser: cargo e2e test"]
fn a_question_that_is_too_long_is_kept_and_the_limit_is_said() {
    let chat = Chat::start();
    let browser = Browser::start().unwrap();
    let page = Page::open(&browser, &chat.address(), PATIENCE).unwrap();
    let paste = "const field = document.getElementById('question');
        field.value = 'x'.repeat(4001); field.dispatchEvent(new Event('input'));";
    page.run(paste).unwrap();
    page.type_keys("\u{e007}").unwrap();
    let problem = page
        .run("return document.getElementById('problem').textContent")
        .unwrap();
    assert_eq!(
        problem,
        "This is 1 character too long; at most 4000 can be sent."
    );
    assert_eq!(page.turns().unwrap(), []);
    page.type_keys("\u{e003}\u{e007}").unwrap();
    page.wait_for_answer(PATIENCE).unwrap();
}
