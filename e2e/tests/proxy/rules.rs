//! What is asked of the API server, and what is to be done about it.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Write,
}

/// A request, as far as rules tell one from another.
#[derive(Clone, Debug)]
pub struct Asked {
    pub verb: Verb,
    /// As in a URL, with its subresource: `deployments/scale`.
    pub resource: String,
    /// Empty for what is asked of the whole cluster.
    pub namespace: String,
}

impl Asked {
    pub fn of(method: &str, path: &str, query: &str) -> Self {
        let mut parts = path.trim_matches('/').split('/').skip(1);
        if path.starts_with("/apis") {
            parts.next(); // the group
        }
        parts.next(); // the version
        let parts: Vec<&str> = parts.collect();
        let (namespace, rest) = match &parts[..] {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let verb = match (method, rest.len()) {
            ("GET", _) if query.contains("watch=true") => Verb::Watch,
            ("GET", 0 | 1) => Verb::List,
            ("GET", _) => Verb::Get,
            _ => Verb::Write,
        };
        let resource = match rest {
            [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
            [resource, ..] => (*resource).to_owned(),
            [] => String::new(),
        };
        Self {
            verb,
            resource,
            namespace: namespace.to_owned(),
        }
    }
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This code instead of the API server's answer; it never hears of the request.
    Answer(u16),
    /// As a server answers that sheds load: 429, the time to wait in a header alone.
    Busy(u32),
    /// The connection is reset; the API server never hears of the request.
    Reset,
    /// The API server does it, and the answer is this code.
    AnswerAfter(u16),
    /// The API server does it, and instead of the answer the connection is reset.
    ResetAfter,
    /// A list as it was when it was first asked for.
    Stale,
    /// To an event of a watch.
    Event(Event),
}

/// What is done to an event of a watch.
#[derive(Clone, Debug)]
pub enum Event {
    /// The connection is reset before it.
    Cut,
    /// In its place comes that the version is too old.
    Gone,
    Twice,
    Drop,
    /// It and everything after it comes later.
    Delay(Duration),
    /// It comes after the next one.
    Swap,
}

/// To whom what is done, and how often.
#[derive(Clone, Debug)]
pub struct Rule {
    pub verb: Verb,
    /// Empty for every resource but leases and events, which nothing depends on.
    pub resource: &'static str,
    /// Empty for every namespace.
    pub namespace: String,
    /// Which ones of those that match, counted from 0.
    pub which: Range<u32>,
    /// Only one in so many of these, by chance.
    pub one_in: u32,
    pub fault: Fault,
}

/// A rule for the first ones that match.
pub fn first(times: u32, verb: Verb, namespace: &str, fault: Fault) -> Rule {
    Rule {
        verb,
        resource: "",
        namespace: namespace.to_owned(),
        which: 0..times,
        one_in: 1,
        fault,
    }
}

impl Rule {
    pub fn of(mut self, resource: &'static str) -> Self {
        self.resource = resource;
        self
    }

    pub fn one_in(mut self, of: u32) -> Self {
        self.one_in = of;
        self
    }

    fn matches(&self, asked: &Asked) -> bool {
        let aside = ["leases", "events"].contains(&asked.resource.as_str());
        self.verb == asked.verb
            && (self.resource == asked.resource || self.resource.is_empty() && !aside)
            && (self.namespace.is_empty() || self.namespace == asked.namespace)
    }
}

/// One request, and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: Instant,
    pub asked: Asked,
    /// What the operator was answered; none when the connection was reset.
    pub code: Option<u16>,
    /// Whether the API server heard of it.
    pub forwarded: bool,
    /// What was to be written.
    pub body: Value,
}

/// The rules in force, and everything that has happened.
pub struct Board {
    rules: Vec<(Rule, u32, u32)>,
    chance: fastrand::Rng,
    pub records: Vec<Record>,
}

impl Board {
    pub fn new(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            chance: fastrand::Rng::with_seed(seed),
            records: Vec::new(),
        }
    }

    pub fn set(&mut self, rules: Vec<Rule>) {
        self.rules = rules.into_iter().map(|rule| (rule, 0, 0)).collect();
    }

    /// How often each rule has been applied.
    pub fn applied(&self) -> Vec<u32> {
        self.rules.iter().map(|(_, _, applied)| *applied).collect()
    }

    /// What is to be done about a request; of an event, it is the watch with the event's namespace.
    pub fn judge(&mut self, asked: &Asked, of_event: bool) -> Option<Fault> {
        for (rule, seen, applied) in &mut self.rules {
            if matches!(rule.fault, Fault::Event(_)) != of_event || !rule.matches(asked) {
                continue;
            }
            let turn = *seen;
            *seen += 1;
            if rule.which.contains(&turn) && self.chance.u32(0..rule.one_in) == 0 {
                *applied += 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }
}
