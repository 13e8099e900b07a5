//! Events of a resource. A change that is told again in the same words joins the series of the first; one in other words
//! is an event of its own, since all of a series shows the words of its first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chatbot_plan::names::FIELD_MANAGER;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

/// For how long a series goes on: as long as client-go's.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// The most that one resource tells within that time: what flaps in ever new words is in the log.
const MOST: usize = 25;
/// The most that the API server takes as a note, in bytes.
const NOTE_LIMIT: usize = 1024;
/// What the operator did; the API asks for it, and nobody shows it.
const ACTION: &str = "Reconcile";

/// Something to be told of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// Whether a person should look.
    pub warning: bool,
    /// For programs.
    pub reason: String,
    /// For a person.
    pub note: String,
}

/// What was told lately, and by whom.
pub struct Events {
    /// The name of this process.
    instance: String,
    told: Mutex<HashMap<(String, News), Told>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    name: String,
    count: i32,
    last: Timestamp,
}

/// What came before some news.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    /// The same.
    Same(Told),
    /// Something else, or nothing.
    Other,
    /// So much that nothing more is told.
    TooMuch,
}

impl Events {
    /// Nothing told yet.
    #[must_use]
    pub fn new(instance: String) -> Self {
        Self {
            instance,
            told: Mutex::default(),
        }
    }

    /// Tells of a resource.
    pub async fn tell(
        &self,
        client: &Client,
        regarding: &ObjectReference,
        news: News,
    ) -> kube::Result<()> {
        let now = Timestamp::now();
        let key = (regarding.uid.clone().unwrap_or_default(), news);
        let namespace = regarding.namespace.as_deref().unwrap_or("default");
        let api = Api::<Event>::namespaced(client.clone(), namespace);
        let told = match self.before(&key, now) {
            Before::Same(before) => self.repeat(&api, regarding, &key.1, before, now).await?,
            Before::Other => self.begin(&api, regarding, &key.1, now).await?,
            Before::TooMuch => return Ok(()),
        };
        self.told().insert(key, told);
        Ok(())
    }

    fn before(&self, key: &(String, News), now: Timestamp) -> Before {
        let mut told = self.told();
        told.retain(|_, told| now.duration_since(told.last) < SERIES);
        if let Some(same) = told.get(key) {
            Before::Same(same.clone())
        } else if told.keys().filter(|(uid, _)| *uid == key.0).count() < MOST {
            Before::Other
        } else {
            Before::TooMuch
        }
    }

    async fn repeat(
        &self,
        api: &Api<Event>,
        regarding: &ObjectReference,
        news: &News,
        before: Told,
        now: Timestamp,
    ) -> kube::Result<Told> {
        let count = before.count.saturating_add(1);
        let series = Patch::Merge(
            json!({ "series": EventSeries { count, last_observed_time: MicroTime(now) } }),
        );
        let params = PatchParams::default();
        match api.patch(&before.name, &params, &series).await {
            Ok(_) => Ok(Told {
                count,
                last: now,
                ..before
            }),
            // The API server keeps events for an hour, or less.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.begin(api, regarding, news, now).await
            }
            Err(error) => Err(error),
        }
    }

    async fn begin(
        &self,
        api: &Api<Event>,
        regarding: &ObjectReference,
        news: &News,
        now: Timestamp,
    ) -> kube::Result<Told> {
        let event = self.event(regarding, news, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        Ok(Told {
            name,
            count: 1,
            last: now,
        })
    }

    fn event(&self, regarding: &ObjectReference, news: &News, now: Timestamp) -> Event {
        let of = regarding.name.as_deref().unwrap_or(FIELD_MANAGER);
        let type_ = if news.warning { "Warning" } else { "Normal" };
        Event {
            metadata: ObjectMeta {
                namespace: regarding.namespace.clone(),
                name: Some(format!("{of}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            action: Some(ACTION.to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(shortened(&news.note)),
            reason: Some(news.reason.clone()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(type_.to_owned()),
            ..Event::default()
        }
    }

    fn told(&self) -> MutexGuard<'_, HashMap<(String, News), Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of a text as a note may have.
fn shortened(note: &str) -> String {
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    let end = note.floor_char_boundary(NOTE_LIMIT - "…".len());
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(note: &str) -> (String, News) {
        let news = News {
            warning: true,
            reason: "Stalled".to_owned(),
            note: note.to_owned(),
        };
        ("uid".to_owned(), news)
    }

    fn events(notes: &[&str], last: Timestamp) -> Events {
        let events = Events::new("operator".to_owned());
        for note in notes {
            let told = Told {
                name: format!("event-{note}"),
                count: 1,
                last,
            };
            events.told().insert(key(note), told);
        }
        events
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn the_same_words_go_on_with_their_series_and_other_words_begin_one() {
        let events = events(&["no claim"], minute(1));
        let Before::Same(before) = events.before(&key("no claim"), minute(2)) else {
            panic!("it was told");
        };
        assert_eq!(before.name, "event-no claim");
        assert_eq!(events.before(&key("no file"), minute(2)), Before::Other);
    }

    #[test]
    fn a_series_ends_when_it_was_quiet_for_long() {
        let events = events(&["no claim"], minute(1));
        assert_eq!(events.before(&key("no claim"), minute(7)), Before::Other);
    }

    #[test]
    fn what_flaps_in_ever_new_words_is_told_a_few_times_only() {
        let notes: Vec<String> = (0..MOST).map(|number| number.to_string()).collect();
        let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
        let events = events(&notes, minute(1));
        assert_eq!(events.before(&key("one more"), minute(2)), Before::TooMuch);
        assert!(matches!(
            events.before(&key("3"), minute(2)),
            Before::Same(_)
        ));
        let other = ("another".to_owned(), key("one more").1);
        assert_eq!(events.before(&other, minute(2)), Before::Other);
    }

    #[test]
    fn a_note_is_cut_between_characters_to_what_the_server_takes() {
        let note = shortened(&"ü".repeat(700));
        assert!(note.len() <= NOTE_LIMIT && note.ends_with("ü…"), "{note}");
        assert_eq!(shortened("short"), "short");
    }
}
