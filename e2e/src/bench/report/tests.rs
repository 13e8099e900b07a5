use super::*;
use serde_json::json;

fn round(ours: impl Into<Value>, breaches: u32) -> Report {
    let ours = ours.into();
    let line = json!({
        "rows": [{
            "name": "error", "unit": "%", "ours": ours, "peers": { "last value": 15 },
            "goal": "at most 14", "met": ours.as_f64().is_some_and(|ours| ours <= 14.0),
        }],
        "must_be_zero": { "breaches": breaches },
        "result": { "series": { "a": { "wape": ours, "name": "A", "days": [1, breaches] } } },
    });
    Report::parse(&line.to_string()).unwrap()
}

#[test]
fn every_number_is_the_median_of_the_rounds() {
    let summary = Summary::of(&[round(9, 0), round(13, 0), round(12, 4)]).unwrap();
    let json = Value::Object(summary.json());
    assert_eq!(json["series"]["a"]["wape"], 12);
    assert_eq!(json["series"]["a"]["days"], json!([1, 0]));
    assert_eq!(json["series"]["a"]["name"], "A");
    assert_eq!(json["rounds"], 3);
    let table = summary.table();
    assert!(table.contains("12 (9–13)"), "{table}");
    assert!(table.contains("at most 14: met"), "{table}");
    assert!((median(&[1.0, 4.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
}

#[test]
fn one_round_is_enough_to_break_what_must_be_zero() {
    let summary = Summary::of(&[round(9, 0), round(9, 0), round(9, 1)]).unwrap();
    assert_eq!(summary.broken(), ["breaches is 1, and must be 0"]);
    let unknown = Report::parse(r#"{ "must_be_zero": { "breaches": null } }"#).unwrap();
    assert_eq!(
        Summary::of(&[unknown]).unwrap().broken(),
        ["breaches is not known, and must be 0"]
    );
}

#[test]
fn a_figure_that_is_not_known_in_one_round_is_not_known() {
    let summary = Summary::of(&[round(9, 0), round(Value::Null, 0)]).unwrap();
    let json = Value::Object(summary.json());
    assert_eq!(json["series"]["a"]["wape"], Value::Null);
    assert_eq!(json["missed"], json!(["error"]));
    assert!(summary.table().contains('–'));
}

#[test]
fn a_peer_s_own_figures_stand_beside_ours() {
    let ours = Summary::of(&[round(9, 0)]).unwrap();
    let theirs = Summary::of(&[round(17, 0)]).unwrap();
    let both = ours.beside("the other", &theirs);
    let table = both.table();
    assert!(table.lines().next().unwrap().contains("the other"));
    assert!(table.contains("17"), "{table}");
    assert_eq!(both.json()["the other"]["series"]["a"]["wape"], 17);
}

#[test]
fn a_last_line_of_another_form_is_refused_with_its_field() {
    for (line, told) in [
        ("done", "not one JSON object"),
        ("[1]", "not one JSON object"),
        (r#"{ "rows": 3 }"#, "rows: must be an array"),
        (r#"{ "rows": [{ "ours": 3 }] }"#, "needs a name"),
        (
            r#"{ "rows": [{ "name": "a", "ours": "3" }] }"#,
            "must be a number",
        ),
        (r#"{ "results": {} }"#, "results: unknown field"),
        (r#"{ "result": 1 }"#, "result: must be an object"),
    ] {
        let refused = format!("{:#}", Report::parse(line).unwrap_err());
        assert!(refused.contains(told), "{line}: {refused}");
    }
    let other = Report::parse(r#"{ "rows": [{ "name": "other" }] }"#).unwrap();
    assert!(Summary::of(&[round(9, 0), other]).is_err());
}

#[test]
fn what_is_written_is_read_back() {
    let report = Report {
        rows: vec![
            Row::new("repair", "s", 0.5)
                .peer("other", None)
                .at_most(1.0),
            Row::new("unknown", "", None),
        ],
        ..round(9, 2)
    };
    assert_eq!(Report::parse(&report.line()).unwrap(), report);
}

#[test]
fn a_quantile_is_one_of_the_figures() {
    let figures: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(quantile(&figures, 0.99), Some(99.0));
    assert_eq!(quantile(&figures, 0.0), Some(1.0));
    assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn a_goal_is_missed_by_what_is_not_known() {
    assert_eq!(Row::new("repair", "s", 0.4).at_most(1.0).met, Some(true));
    assert_eq!(Row::new("repair", "s", None).at_most(1.0).met, Some(false));
}
