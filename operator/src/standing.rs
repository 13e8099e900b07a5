//! Where an operator stands among several: whether it leads, and who does.

/// Where an operator stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which of its terms it is in; none while it does not lead.
    pub term: Option<u32>,
    /// Whom the Lease names.
    pub holder: Option<String>,
    /// Why the Lease cannot be had, when it is not for another's holding it.
    pub trouble: Option<String>,
}

/// A process's name in the Lease: its namespace, so that whoever reads it finds the installation, and its own name.
#[must_use]
pub fn identity(namespace: &str, instance: &str) -> String {
    format!("{namespace}/{instance}")
}

impl Standing {
    /// The namespace of the installation that leads, when it is not this one's.
    #[must_use]
    pub fn elsewhere(&self, identity: &str) -> Option<&str> {
        let (own, _) = identity.split_once('/')?;
        let (namespace, _) = self.holder.as_deref()?.split_once('/')?;
        (namespace != own).then_some(namespace)
    }

    /// It in words, for whoever asks whether this operator is ready.
    #[must_use]
    pub fn words(&self, identity: &str) -> String {
        let holder = self.holder.as_deref();
        if let (None, Some(trouble)) = (self.term, &self.trouble) {
            return format!("standing by: the Lease cannot be had: {trouble}");
        }
        match (self.term, self.elsewhere(identity)) {
            (Some(_), _) => "leading".to_owned(),
            (None, Some(namespace)) => format!(
                "standing by: another installation, in namespace {namespace}, leads ({}) and serves every resource of \
                 this cluster; uninstall one of the two",
                holder.unwrap_or_default()
            ),
            (None, None) => match holder {
                Some(holder) if holder != identity => format!("standing by: {holder} leads"),
                _ => "standing by: nobody is known to lead".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(holder: Option<&str>) -> String {
        let standing = Standing {
            term: None,
            holder: holder.map(str::to_owned),
            trouble: None,
        };
        standing.words("chat-system/pod-a_1")
    }

    #[test]
    fn who_stands_by_names_who_leads_and_another_installation_by_its_namespace() {
        assert_eq!(
            words(Some("chat-system/pod-b_2")),
            "standing by: chat-system/pod-b_2 leads"
        );
        let elsewhere = words(Some("other/pod-b_2"));
        for word in [
            "another installation",
            "namespace other",
            "other/pod-b_2",
            "uninstall",
        ] {
            assert!(elsewhere.contains(word), "{elsewhere}");
        }
        // Of a release that named no namespace, nobody can tell.
        assert_eq!(words(Some("pod-b_2")), "standing by: pod-b_2 leads");
        for nobody in [None, Some("chat-system/pod-a_1")] {
            assert_eq!(words(nobody), "standing by: nobody is known to lead");
        }
    }

    #[test]
    fn a_lease_that_cannot_be_had_is_told_unless_the_term_still_lasts() {
        let standing = |term| Standing {
            term,
            holder: Some("a/b".to_owned()),
            trouble: Some("leases is forbidden".to_owned()),
        };
        assert_eq!(standing(Some(1)).words("a/b"), "leading");
        let said = standing(None).words("a/c");
        assert!(
            said.ends_with("cannot be had: leases is forbidden"),
            "{said}"
        );
    }
}
