//! Events as lines of JSON that Elasticsearch, and whatever knows its Common Schema, takes as they are.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The version of the schema that the lines keep to.
const VERSION: &str = "8.11.0";

/// How spans keep their fields, for the events in them.
pub(super) fn fields() -> JsonFields {
    JsonFields::new()
}

/// Writes one line for each event, with the fields of all spans that it is in.
pub(super) struct Lines;

impl<S: Subscriber + for<'span> LookupSpan<'span>> FormatEvent<S, JsonFields> for Lines {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Map::new();
        for (name, value) in [
            ("@timestamp", time.as_str()),
            ("log.level", &metadata.level().as_str().to_lowercase()),
            ("log.logger", metadata.target()),
            ("ecs.version", VERSION),
            ("service.name", "chatbot"),
        ] {
            line.insert(name.to_owned(), value.into());
        }
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else {
                continue;
            };
            // The inner span's word counts.
            if let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&fields.fields) {
                for (name, value) in fields {
                    line.entry(name).or_insert(value);
                }
            }
        }
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;

    use super::*;
    use crate::log;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_a_message_has_the_schema_s_names_and_the_ids() {
        let kept = Kept::default();
        let writer = kept.clone();
        let logs = log::json(EnvFilter::new("warn"), move || writer.clone());
        tracing::subscriber::with_default(logs, || {
            let _message = log::message("4bf9", "m-1").entered();
            tracing::warn!(partition = 3, "it waits");
            tracing::info!("and this is filtered out");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let time = line["@timestamp"].take();
        assert!(
            time.as_str().is_some_and(|time| time.ends_with('Z')),
            "{time}"
        );
        assert_eq!(
            line,
            json!({
                "@timestamp": null, "log.level": "warn", "log.logger": "chatbot_telemetry::log::ecs::tests",
                "ecs.version": VERSION, "service.name": "chatbot", "trace.id": "4bf9", "event.id": "m-1",
                "message": "it waits", "partition": 3,
            })
        );
    }
}
