//! The rules of `monitoring`.

use super::Broken;
use super::text::is_url;
use crate::spec::Monitoring;

pub(crate) const URL: &str = "must be an http URL such as 'http://prometheus.monitoring:9090', without credentials: the \
                              operator, which asks there, reads no Secret";

impl Broken {
    pub(super) fn monitoring(&mut self, monitoring: &Monitoring) {
        let path = "spec.monitoring";
        if let Some(prometheus) = &monitoring.prometheus {
            let url = &prometheus.url;
            self.unless(
                is_plain_url(url),
                &format!("{path}.prometheus.url"),
                url,
                URL,
            );
        }
        self.labels(
            &format!("{path}.labels"),
            monitoring.labels.as_ref(),
            &["chatbot.dev/", "app.kubernetes.io/"],
        );
    }
}

fn is_plain_url(text: &str) -> bool {
    text.starts_with("http://") && is_url(text) && !text.contains(['?', '#'])
}
