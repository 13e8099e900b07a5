//! What it means when the API server says no: who has to do what about it.

use kube::core::Status;

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The object is not what was looked at: look again.
    Changed,
    /// The namespace is being deleted, or gone: there is nothing to be done in it.
    Leaving,
    /// A quota is exhausted.
    Quota(String),
    /// An admission policy or webhook does not want it.
    Denied(String),
    /// An admission webhook is to be asked and does not answer.
    Unasked(String),
    /// The operator has no right to it.
    Forbidden(String),
    /// The object itself is refused, at every try.
    Invalid(String),
}

impl Refusal {
    /// Nothing for what may be otherwise at the next try.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let words = || status.message.clone();
        let says = |text: &str| status.message.contains(text);
        let ending = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .any(|cause| cause.reason == "NamespaceTerminating");
        if ending || status.code == 404 && says("namespaces \"") {
            Some(Self::Leaving)
        } else if says("ValidatingAdmissionPolicy") && says("denied request")
            || says("admission webhook") && says("denied the request")
        {
            Some(Self::Denied(words()))
        } else if says("failed calling webhook") {
            // What the network says of it differs from try to try.
            let name = status.message.split('"').nth(1).unwrap_or_default();
            Some(Self::Unasked(format!("webhook {name:?} does not answer")))
        } else if status.code == 409 {
            Some(Self::Changed)
        } else if status.code == 403 && says("exceeded quota") {
            Some(Self::Quota(words()))
        } else if status.code == 403 {
            Some(Self::Forbidden(words()))
        } else if matches!(status.code, 400 | 413 | 422) {
            Some(Self::Invalid(words()))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(code: u16, message: &str) -> Option<Refusal> {
        Refusal::of(&Status::failure(message, "").with_code(code))
    }

    #[test]
    fn who_said_no_is_told_by_the_words() {
        let policy = "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied \
                      request: no images of others";
        for code in [403, 422] {
            assert_eq!(
                refusal(code, policy),
                Some(Refusal::Denied(policy.to_owned()))
            );
        }
        let webhook = "admission webhook \"w.example.com\" denied the request: not here";
        assert_eq!(
            refusal(400, webhook),
            Some(Refusal::Denied(webhook.to_owned()))
        );
        let right = "services \"a\" is forbidden: User \"x\" cannot patch resource \"services\" in API group \"\" in \
                     the namespace \"n\"";
        assert_eq!(
            refusal(403, right),
            Some(Refusal::Forbidden(right.to_owned()))
        );
        let quota =
            "configmaps \"a\" is forbidden: exceeded quota: small, requested: count/configmaps=1";
        assert_eq!(refusal(403, quota), Some(Refusal::Quota(quota.to_owned())));
        assert_eq!(
            refusal(409, "the object has been modified"),
            Some(Refusal::Changed)
        );
        let field = "Service \"a\" is invalid: spec.ports: Required value";
        assert_eq!(
            refusal(422, field),
            Some(Refusal::Invalid(field.to_owned()))
        );
        assert_eq!(refusal(500, "etcdserver: request timed out"), None);
    }

    #[test]
    fn a_webhook_that_does_not_answer_is_told_in_the_same_words_at_every_try() {
        let words = |cause: &str| {
            let call = "Post \"https://w.n.svc:443/?timeout=10s\"";
            format!(
                "Internal error occurred: failed calling webhook \"w.example.com\": {call}: {cause}"
            )
        };
        let told = refusal(500, &words("connection refused"));
        assert_eq!(told, refusal(500, &words("context deadline exceeded")));
        let expected = "webhook \"w.example.com\" does not answer";
        assert_eq!(told, Some(Refusal::Unasked(expected.to_owned())));
    }

    #[test]
    fn a_namespace_that_is_being_deleted_needs_nobody() {
        let mut status =
            Status::failure("unable to create new content in namespace n", "Forbidden")
                .with_code(403);
        let causes = json!({ "causes": [{ "reason": "NamespaceTerminating" }] });
        status.details = serde_json::from_value(causes).unwrap();
        assert_eq!(Refusal::of(&status), Some(Refusal::Leaving));
        assert_eq!(
            refusal(404, "namespaces \"n\" not found"),
            Some(Refusal::Leaving)
        );
    }
}
