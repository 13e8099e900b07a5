//! How the operator's own pods are told from others: by the namespace and the labels that its Deployment gives it.

use std::collections::BTreeMap;

use chatbot_plan::world::PodPeer;
use clap::Args;

/// Where the operator runs. Without it, as when it runs outside of the cluster, nobody knows from where it asks pods.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// The namespace that the operator runs in.
    #[arg(long, env = "CHATBOT_OPERATOR_NAMESPACE", requires = "operator_labels")]
    operator_namespace: Option<String>,
    /// Labels that tell the operator's pods from others in that namespace, such as `a=b,c=d`.
    #[arg(
        long,
        env = "CHATBOT_OPERATOR_LABELS",
        value_delimiter = ',',
        value_parser = label
    )]
    operator_labels: Vec<(String, String)>,
}

impl Place {
    /// The operator's pods, when it is one of them.
    #[must_use]
    pub fn pods(&self) -> Option<PodPeer> {
        let labels: BTreeMap<String, String> = self.operator_labels.iter().cloned().collect();
        let namespace = self.operator_namespace.clone()?;
        (!labels.is_empty()).then_some(PodPeer { namespace, labels })
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be a label such as app.kubernetes.io/name=chatbot-operator".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        place: Place,
    }

    fn pods(arguments: &[&str]) -> Result<Option<PodPeer>, clap::Error> {
        let arguments = std::iter::once("operator").chain(arguments.iter().copied());
        Line::try_parse_from(arguments).map(|line| line.place.pods())
    }

    #[test]
    fn the_operator_s_pods_are_told_by_namespace_and_labels() {
        let labels = "--operator-labels=app.kubernetes.io/name=a,app.kubernetes.io/instance=b";
        let pods = pods(&["--operator-namespace=system", labels])
            .unwrap()
            .unwrap();
        assert_eq!(pods.namespace, "system");
        assert_eq!(pods.labels.len(), 2);
        assert_eq!(pods.labels["app.kubernetes.io/instance"], "b");
    }

    #[test]
    fn an_operator_outside_the_cluster_has_no_pods_and_half_an_answer_is_refused() {
        assert_eq!(pods(&[]).unwrap(), None);
        assert!(pods(&["--operator-namespace=system"]).is_err());
        assert!(pods(&["--operator-namespace=system", "--operator-labels=nonsense"]).is_err());
    }
}
