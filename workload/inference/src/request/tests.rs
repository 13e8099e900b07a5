use super::*;

fn parse(body: &Value) -> Result<Ask, ApiError> {
    Ask::parse(body.to_string().as_bytes(), "small", 2048)
}

fn with(field: &str, value: Value) -> Value {
    let mut body =
        json!({ "model": "small", "messages": [{ "role": "user", "content": "Hello" }] });
    body[field] = value;
    body
}

#[test]
fn a_full_request_is_understood() {
    let ask = parse(&json!({
        "model": "small",
        "messages": [
            { "role": "developer", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "Hel" }, { "type": "text", "text": "lo" }] },
            { "role": "assistant", "content": "Hi." },
            { "role": "user", "content": "Bye.", "name": "ada" },
        ],
        "max_completion_tokens": 7, "temperature": 0, "top_p": 0.5, "seed": -1, "stop": "\n",
        "stream": true, "stream_options": { "include_usage": true },
        "user": "u1", "n": 1, "tools": [], "response_format": { "type": "text" }, "logprobs": null,
    }))
    .unwrap();
    let turn = |role, content: &str| Turn {
        role,
        content: content.to_owned(),
    };
    assert_eq!(
        ask.request.turns[..2],
        [turn(Role::System, "Be brief."), turn(Role::User, "Hello")]
    );
    assert_eq!(ask.request.max_tokens, Some(7));
    assert_eq!((ask.request.temperature, ask.request.top_p), (0.0, 0.5));
    assert_eq!(ask.request.seed, Some(u64::MAX));
    assert_eq!(ask.request.stop, ["\n"]);
    assert!(ask.stream && ask.include_usage);
}

#[test]
fn what_would_change_the_answer_and_cannot_be_done_is_refused_by_name() {
    for (field, value) in [
        ("n", json!(2)),
        ("tools", json!([{ "type": "function" }])),
        ("tool_choice", json!("required")),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("response_format", json!({ "type": "json_object" })),
        ("frequency_penalty", json!(0.5)),
        ("functions", json!([])),
        ("top_k", json!(40)),
        ("stream_options", json!({ "include_usage": true })),
        ("temperature", json!(2.1)),
        ("temperature", json!("hot")),
        ("top_p", json!(-0.1)),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(2049)),
        ("max_tokens", json!(1.5)),
        ("seed", json!(0.5)),
        ("stop", json!("")),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stop", json!([1])),
        ("stream", json!("yes")),
        ("messages", json!([])),
        ("messages", json!("Hello")),
    ] {
        let error = parse(&with(field, value.clone())).unwrap_err();
        let ApiError::Invalid {
            field: named,
            problem,
        } = &error
        else {
            panic!("{field}={value}: {error}")
        };
        assert_eq!(named, field, "{value}");
        assert!(problem.len() > 20, "{problem}");
    }
}

#[test]
fn a_wrong_message_is_named_by_its_place() {
    for (message, place) in [
        (
            json!({ "role": "tool", "content": "x" }),
            "messages[0].role",
        ),
        (json!({ "content": "x" }), "messages[0].role"),
        (json!({ "role": "user" }), "messages[0].content"),
        (
            json!({ "role": "user", "content": 5 }),
            "messages[0].content",
        ),
        (
            json!({ "role": "user", "content": "a\u{0}b" }),
            "messages[0].content",
        ),
        (
            json!({ "role": "user", "content": [{ "type": "image_url" }] }),
            "messages[0].content[0].type",
        ),
        (
            json!({ "role": "assistant", "content": "x", "tool_calls": [] }),
            "messages[0].tool_calls",
        ),
        (json!("Hello"), "messages[0]"),
    ] {
        let error = parse(&with("messages", json!([message]))).unwrap_err();
        assert!(
            matches!(&error, ApiError::Invalid { field, .. } if field == place),
            "{error}"
        );
    }
}

#[test]
fn another_model_and_no_json_are_told_apart() {
    assert!(matches!(
        parse(&with("model", json!("large"))),
        Err(ApiError::UnknownModel { .. })
    ));
    assert!(matches!(
        Ask::parse(b"{", "small", 9),
        Err(ApiError::Body(_))
    ));
    assert!(matches!(
        Ask::parse(b"[]", "small", 9),
        Err(ApiError::Body(_))
    ));
}
