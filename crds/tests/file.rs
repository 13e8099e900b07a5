//! What a file may hold, and what it says when it holds something else.
#![allow(clippy::unwrap_used)] // A file that is read after all fails the test.

use chatbot_crds::{ParseError, Settings, parse};

const SHORTEST: &str = "\
apiVersion: chatbot.dev/v1alpha1
kind: ChatBotCluster
metadata: { name: support }
spec:
  channels:
    - name: web
      webChat: {}
  inference:
    model:
      source: { persistentVolumeClaim: { claimName: models, path: model.gguf } }
";

fn error(yaml: &str) -> String {
    parse(yaml).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_shortest_resource_has_every_default() {
    let settings = Settings::of(&parse(SHORTEST).unwrap()).unwrap();
    assert_eq!(
        (settings.name.as_str(), settings.namespace.as_str()),
        ("support", "default")
    );
    assert_eq!(settings.conversation.history_turns, 20);
    assert_eq!(settings.conversation.session_timeout.as_secs(), 86_400);
    assert!((settings.conversation.temperature - 0.7).abs() < f64::EPSILON);
    assert_eq!(
        (
            settings.inference.min_replicas,
            settings.inference.max_replicas
        ),
        (5, 40)
    );
    assert_eq!(settings.inference.target_cpu_utilization_percentage, 70);
    assert_eq!(settings.inference.instances_per_node, 4);
}

#[test]
fn a_null_is_the_same_as_absence() {
    let with_nulls = SHORTEST.replace(
        "spec:\n",
        "spec:\n  image: null\n  conversation: null\n  adapters: { service: { type: null } }\n  podMetadata: { labels: { a: null } }\n",
    );
    let with_nulls = Settings::of(&parse(&with_nulls).unwrap()).unwrap();
    assert_eq!(with_nulls, Settings::of(&parse(SHORTEST).unwrap()).unwrap());
}

#[test]
fn a_file_that_is_not_yaml_names_the_line() {
    let message = error("apiVersion: chatbot.dev/v1alpha1\nkind: [ChatBotCluster\nspec: {}\n");
    assert!(
        message.starts_with("not YAML: ") && message.contains("line"),
        "{message}"
    );
    let message = error("kind: ChatBotCluster\nkind: ChatBotCluster\n");
    assert!(message.contains("duplicate"), "{message}");
}

#[test]
fn a_file_of_something_else_says_what_it_is() {
    let must = "it must hold a ChatBotCluster (chatbot.dev/v1alpha1)";
    for (yaml, found) in [
        (
            "kind: Deployment\napiVersion: apps/v1\n",
            "the file holds a Deployment (apps/v1)",
        ),
        (
            "kind: ChatBotCluster\napiVersion: chatbot.dev/v1\n",
            "the file holds a ChatBotCluster (chatbot.dev/v1)",
        ),
        (
            "kind: ChatBotCluster\n",
            "the file holds a ChatBotCluster without an `apiVersion`",
        ),
        (
            "spec: {}\n",
            "the file names neither `kind` nor `apiVersion`",
        ),
        ("- a\n", "the file holds a list"),
        ("hello\n", "the file holds plain text"),
    ] {
        assert_eq!(error(yaml), format!("{found}; {must}"));
    }
    assert_eq!(parse("# nothing\n").unwrap_err(), ParseError::Empty);
    assert_eq!(
        parse(&format!("{SHORTEST}---\n{SHORTEST}")).unwrap_err(),
        ParseError::Several(2)
    );
    assert!(parse(&format!("---\n{SHORTEST}---\n")).is_ok());
}

#[test]
fn an_unknown_field_names_its_path_and_what_is_known_there() {
    let message = error(&SHORTEST.replace("  channels:", "  chanels:"));
    assert!(
        message.contains("spec.chanels: unknown field; known here: adapters, cache, channels,"),
        "{message}"
    );
    assert!(message.contains("spec.channels: must be set"), "{message}");
    let message = error(&SHORTEST.replace("name: support", "nmae: support"));
    assert!(
        message.contains("metadata.nmae: unknown field"),
        "{message}"
    );
}

#[test]
fn no_input_panics() {
    for cut in 0..SHORTEST.len() {
        let _ = parse(&SHORTEST[..cut]).map(|cluster| Settings::of(&cluster));
    }
    for yaml in [
        "&a [*a]",
        "a: &a { <<: *a }",
        "\u{0}",
        "!!binary x",
        "? {}\n: 1",
        ".inf",
        "{1: 2}",
        "[[[[[[",
    ] {
        let _ = parse(yaml);
    }
}
