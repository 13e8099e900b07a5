//! What the runs have shown, in the harness's form.

use chatbot_e2e::bench::report::{Report, Row};
use serde_json::{Map, Value, json};

use super::run::Outcome;
use crate::platform::Platform;

/// Ledgers of both platforms side by side: ours with keys, and without as a second column.
pub(super) fn report(outcomes: &[Outcome]) -> Report {
    let mut report = Report::default();
    for outcome in outcomes {
        let name = outcome.platform.name();
        report.rows.extend(rows(outcome));
        for (what, count) in must_be_zero(outcome) {
            report
                .must_be_zero
                .insert(format!("{name}_{what}"), count.into());
        }
        report.result.insert(name.to_owned(), result(outcome));
    }
    report
}

/// With keys no effect is doubled. Without, at most those that nobody can know of; nothing better is claimed.
fn must_be_zero(outcome: &Outcome) -> Vec<(&'static str, u64)> {
    let judgement = &outcome.judgement;
    let doubles = match outcome.platform {
        Platform::Keys => judgement.duplicates,
        Platform::NoKeys => judgement.duplicates.saturating_sub(judgement.in_doubt),
    };
    vec![
        ("lost", judgement.lost),
        ("reordered", judgement.reordered),
        ("duplicates_beyond_doubt", doubles),
        ("in_doubt_not_counted", judgement.uncounted),
        ("answered_twice", outcome.logs.answered_twice),
        ("refused", outcome.logs.refused),
        ("crashes", outcome.crashes),
    ]
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let judgement = &outcome.judgement;
    let row = |what: &str, count: u64| {
        Row::new(
            format!("{}: {what}", outcome.platform.name()),
            "",
            count as f64,
        )
    };
    let most = match outcome.platform {
        Platform::Keys => 0.0,
        Platform::NoKeys => judgement.in_doubt as f64,
    };
    vec![
        row("messages", judgement.sent),
        row("lost", judgement.lost).at_most(0.0),
        row("reordered", judgement.reordered).at_most(0.0),
        row("duplicates", judgement.duplicates).at_most(most),
        row("sends in doubt", judgement.in_doubt),
        row("of these counted by gateways", judgement.counted),
        row("of these unmarked at a kill", judgement.unmarked),
        row("duplicates without a known reason", judgement.unexplained),
    ]
}

fn result(outcome: &Outcome) -> Value {
    let Outcome {
        judgement,
        logs,
        load,
        counted,
        ..
    } = outcome;
    let injected: Map<String, Value> = outcome
        .faults
        .iter()
        .map(|(kind, count)| ((*kind).to_owned(), (*count).into()))
        .chain([
            (
                "sends with an unknown outcome".to_owned(),
                judgement.unknown.into(),
            ),
            (
                "sends while the platform was busy".to_owned(),
                outcome.busy.into(),
            ),
            ("messages delivered twice".to_owned(), load.twice.into()),
            (
                "of these an hour later".to_owned(),
                load.hour_later.len().into(),
            ),
            ("messages out of order".to_owned(), load.out_of_order.into()),
        ])
        .collect();
    json!({
        "sent": judgement.sent,
        "lost": judgement.lost,
        "duplicates": judgement.duplicates,
        "in_doubt": judgement.in_doubt,
        "reordered": judgement.reordered,
        "doubt": { "counted": judgement.counted, "unmarked": judgement.unmarked },
        "unexplained": judgement.unexplained,
        "fallbacks": logs.fallbacks,
        "inbound_records": logs.inbound,
        "deliveries": {
            "requests": counted.requests, "refused": counted.refused, "unanswered": counted.failed,
        },
        "injected": injected,
        "seconds": outcome.seconds,
    })
}
