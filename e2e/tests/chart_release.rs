//! The chart on a cluster: installed, tested, upgraded, rolled back and taken away, while somebody talks to the chat.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

/// Only with `cargo e2e test --all`: they take the operator of every scenario away for a while.
mod long {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use anyhow::Context;
    use chatbot_e2e::access::Access;
    use chatbot_e2e::command;
    use chatbot_e2e::conversation::{Conversation, Stop};
    use chatbot_e2e::install::OPERATOR_NAMESPACE;
    use chatbot_e2e::resource::{CHANNEL, COMPONENTS, Resource};
    use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
    use serde_json::{Value, json};

    const RELEASE: &str = "chatbot-operator";
    const QUESTION: &str = "What is the capital of France?";
    /// Between two questions.
    const READING: Duration = Duration::from_secs(2);
    /// What the previous version's definition does not have.
    const NEW_FIELD: &str = "podMetadata";

    /// The chart's release on the cluster. However the scenario ends, it is as `cargo e2e up` installs it.
    struct Release {
        access: Access,
        chart: PathBuf,
        folder: PathBuf,
        values: PathBuf,
    }

    impl Release {
        fn of_cluster() -> Self {
            let cluster = scenario::cluster().unwrap();
            let folder =
                std::env::temp_dir().join(format!("chatbot-e2e-chart-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let release = Self {
                access: cluster.access(),
                chart: cluster.places.repository.join("charts/chatbot-operator"),
                values: folder.join("values.json"),
                folder,
            };
            let values = release
                .helm(&["get", "values", RELEASE, "--output=json"])
                .unwrap();
            fs::write(&release.values, values).unwrap();
            release
        }

        fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
            let mut helm = self.access.helm();
            helm.args(arguments)
                .args(["--namespace", OPERATOR_NAMESPACE]);
            command::output(&mut helm)
        }

        fn install(&self, chart: &Path) -> anyhow::Result<String> {
            let (chart, values) = (chart.to_str().unwrap(), self.values.to_str().unwrap());
            let install = ["upgrade", "--install", RELEASE, chart, "--values", values];
            self.helm(&[&install[..], &["--wait", "--timeout=180s"]].concat())
        }

        /// The chart as if it were one version older: its definition lacks a field.
        fn previous(&self) -> PathBuf {
            let previous = self.folder.join("previous");
            command::output(Command::new("cp").arg("-a").arg(&self.chart).arg(&previous)).unwrap();
            let edit = |file: &str, change: &dyn Fn(&mut Value)| {
                let file = previous.join(file);
                let text = fs::read_to_string(&file).unwrap();
                let mut value = serde_yaml::from_str(&text).unwrap();
                change(&mut value);
                fs::write(file, serde_yaml::to_string(&value).unwrap()).unwrap();
            };
            edit("Chart.yaml", &|chart| chart["version"] = "0.0.1".into());
            edit("files/chatbotclusters.yaml", &|definition| {
                let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
                let spec = schema["properties"]["spec"]["properties"].as_object_mut();
                spec.unwrap().remove(NEW_FIELD).unwrap();
            });
            previous
        }

        fn has_new_field(&self) -> bool {
            let field = format!(
                "jsonpath={{.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.{NEW_FIELD}.type}}"
            );
            let definition = [
                "get",
                "crd",
                "chatbotclusters.chatbot.dev",
                "--output",
                &field,
            ];
            !self.access.ask(&definition).unwrap().is_empty()
        }
    }

    impl Drop for Release {
        fn drop(&mut self) {
            if let Err(error) = self.install(&self.chart) {
                eprintln!("failed to install the chart again: {error:#}");
            }
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// Every pod of the service, and how often its container was started again.
    fn running(resource: &Resource) -> BTreeMap<String, u64> {
        let pods = COMPONENTS.map(|component| resource.pods(component).unwrap());
        let pods = pods.into_iter().flatten();
        pods.map(|pod| (pod.uid, pod.restarts)).collect()
    }

    /// Does all of it while somebody talks to the chat, and gives the conversation.
    fn under_chat(resource: &Resource, work: impl FnOnce()) -> Conversation {
        let entrance = resource.open().unwrap();
        let stop = AtomicBool::new(false);
        let talk = || {
            let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
            let asked = conversation.keep_asking(QUESTION, READING, 2 * PATIENCE, &stop);
            assert!(asked.unwrap() > 10, "it was talked to all the time");
            conversation
        };
        thread::scope(|scope| {
            let _stopping = Stop(&stop);
            let talking = scope.spawn(talk);
            work();
            stop.store(true, Ordering::SeqCst);
            let conversation = talking.join().unwrap();
            conversation.check_history().unwrap();
            conversation
        })
    }

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn the_operator_is_tested_upgraded_rolled_back_and_taken_away_under_a_running_chat() {
        let release = Release::of_cluster();
        // Never more instances than at first, so that nothing but the operator could touch them.
        let fixed = json!({ "spec": { "inference": { "autoscaling": { "minReplicas": 2, "maxReplicas": 2 } } } });
        let space = scenario::namespace("e2e-chart").unwrap();
        let resource = Resource::apply(space, &fixed).unwrap();
        resource.wait_ready(2 * PATIENCE).unwrap();
        let before = running(&resource);
        // Two instances, and one pod of everything else.
        assert_eq!(before.len(), COMPONENTS.len() + 1, "{before:?}");

        let conversation = under_chat(&resource, || {
            upgrade_and_roll_back(&release);
            resource.wait_ready(2 * PATIENCE).unwrap();
            assert_eq!(
                running(&resource),
                before,
                "a pod of the service was restarted"
            );
            take_away(&release, &resource, &before);
            install_again(&release, &resource);
        });
        for reply in conversation.replies().values() {
            assert!(!reply.fallback && reply.beginnings <= 2, "{reply:?}");
        }
        assert_eq!(
            conversation.connections(),
            1,
            "a page was to notice nothing"
        );
    }

    fn upgrade_and_roll_back(release: &Release) {
        let test = || release.helm(&["test", RELEASE, "--timeout=180s"]);
        test().unwrap();
        // The version before: its definition is older than the operator, and the test says so.
        release.install(&release.previous()).unwrap();
        assert!(!release.has_new_field());
        let refused = test().unwrap_err();
        let log = [
            "logs",
            "--namespace",
            OPERATOR_NAMESPACE,
            "chatbot-operator-check",
        ];
        let log = release.access.ask(&log).unwrap();
        let words = format!("it lacks spec.{NEW_FIELD}");
        assert!(log.contains(&words), "{log}\n{refused:#}");
        // Upgraded, the definition included; back; and forward again.
        release.install(&release.chart).unwrap();
        assert!(release.has_new_field());
        test().unwrap();
        let back = ["rollback", RELEASE, "--wait", "--timeout=180s"];
        release.helm(&back).unwrap();
        assert!(!release.has_new_field());
        release.install(&release.chart).unwrap();
    }

    /// What users have stays and works, and what is lost of it comes back.
    fn take_away(release: &Release, resource: &Resource, before: &BTreeMap<String, u64>) {
        let uninstall = ["uninstall", RELEASE, "--wait", "--timeout=120s"];
        release.helm(&uninstall).unwrap();
        // The pod of the last test stays, for its log.
        let kinds = "deployments,replicasets,services,serviceaccounts,roles,rolebindings";
        let selector = format!("--selector=app.kubernetes.io/instance={RELEASE}");
        let left = [
            "get",
            kinds,
            &selector,
            "--namespace",
            OPERATOR_NAMESPACE,
            "--output=name",
        ];
        wait_until("nothing of the operator in its namespace", PATIENCE, || {
            Ok(release.access.ask(&left)?.trim().is_empty())
        })
        .unwrap();
        assert!(release.has_new_field());
        let classes = ["get", "priorityclass", &selector, "--output=name"];
        let classes = release.access.ask(&classes).unwrap();
        assert_eq!(classes.lines().count(), 3, "{classes}");
        assert_eq!(running(resource), *before);

        let lost = resource.pods("inference").unwrap().remove(0);
        let delete = ["delete", "pod", &lost.name];
        resource.space.kubectl(&delete).unwrap();
        let what = "the lost instance replaced without an operator";
        resource.wait_replicas(what, |ready| ready == 2).unwrap();
    }

    /// It takes up what it finds.
    fn install_again(release: &Release, resource: &Resource) {
        let found = running(resource);
        release.install(&release.chart).unwrap();
        // An edit that changes no pod, to see that this operator has looked.
        let edit = json!({ "spec": { "inference": { "autoscaling": { "behavior": { "scaleDown": {
            "stabilizationWindowSeconds": 30
        } } } } } });
        let generation = resource.edit(&edit).unwrap();
        wait_until(
            "the resource Ready under the new operator",
            2 * PATIENCE,
            || {
                let ready = resource.condition("Ready")?.context("it is not told")?;
                Ok(ready.status == "True" && ready.observed_generation == Some(generation))
            },
        )
        .unwrap();
        assert_eq!(running(resource), found, "a pod of the service was touched");
    }
}
