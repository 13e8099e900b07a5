//! Another server of `OpenAI`'s API in the place of the built-in one.
//!
//! Whether it works is asked at `GET /v1/models`: of the paths in use it is the only one that the API itself has, so
//! every server has it; `/health` is a habit of some. It is alive as long as it takes connections: one that computes an
//! answer in its only thread is busy, not dead.

use chatbot_crds::config::InferenceConfig;
use chatbot_crds::config::engine::environment;
use chatbot_crds::settings::Engine;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, HTTPGetAction, PodSpec, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const MODELS: &str = "/v1/models";
/// Where a program without a home of its own keeps what it must; the root file system is read-only.
const HOME: (&str, &str) = ("HOME", "/tmp");
/// Seconds between looks at a server that starts, and how many there are: as long as the built-in one may take.
const START: (i32, i32) = (2, 300);
/// Seconds between looks at a server that runs, and failures in a row after which it gets no requests.
const READY: (i32, i32) = (3, 3);
/// Seconds between connections to a server that runs, and failures in a row after which it is ended.
const ALIVE: (i32, i32) = (10, 3);
/// Seconds that an answer may take: such a server may be busy.
const PATIENCE_SECONDS: i32 = 5;

/// Puts the engine into the pod of the built-in server. The configuration stays among the pod's volumes, by which it is
/// known what a pod was made from; the server gets the same values in its environment.
pub(super) fn put_in(pod: &mut PodSpec, engine: &Engine, port: &str, config: &InferenceConfig) {
    let Some(container) = pod.containers.first_mut() else {
        return;
    };
    container.image = Some(engine.image.clone());
    container.args = (!engine.args.is_empty()).then(|| engine.args.clone());
    container.env = Some(variables(engine, config));
    container.ports = Some(vec![ContainerPort {
        name: Some(port.to_owned()),
        container_port: i32::from(engine.port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }]);
    if let Some(mounts) = &mut container.volume_mounts {
        mounts.retain(|mount| mount.name != "config");
    }
    probes(container, port);
}

/// What is given comes first, so that what the user adds may name it.
fn variables(engine: &Engine, config: &InferenceConfig) -> Vec<EnvVar> {
    let variable = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let given = environment(config)
        .into_iter()
        .map(|(name, value)| variable(name, value));
    let (home, folder) = HOME;
    let has_home = engine.env.iter().any(|variable| variable.name == home);
    let home = (!has_home).then(|| variable(home, folder.to_owned()));
    given
        .chain(home)
        .chain(engine.env.iter().cloned())
        .collect()
}

fn probes(container: &mut Container, port: &str) {
    let every = |(period, failures): (i32, i32)| Probe {
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(PATIENCE_SECONDS),
        ..Probe::default()
    };
    let asked = |every: Probe| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(MODELS.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        ..every
    };
    container.startup_probe = Some(asked(every(START)));
    container.readiness_probe = Some(asked(every(READY)));
    container.liveness_probe = Some(Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String(port.to_owned()),
            ..TCPSocketAction::default()
        }),
        ..every(ALIVE)
    });
}

#[cfg(test)]
mod tests {
    use chatbot_crds::{ConditionType, Reason};
    use serde_json::{Value, json};

    use crate::example::{world, world_with};
    use crate::proposal::Component;
    use crate::status::find;
    use crate::world::{Signal, World};

    const ENGINE: &str = "engine: { image: 'server:1', args: ['--model=$(MODEL_PATH)'], port: 9000, \
        env: [{ name: KEY, valueFrom: { secretKeyRef: { name: s, key: k } } }] }";

    fn engine() -> World {
        world_with(|yaml| format!("{yaml}    {ENGINE}\n"))
    }

    fn container(world: &World) -> Value {
        let plan = crate::plan(world);
        let mut deployments = plan
            .objects
            .iter()
            .filter(|object| object.key.kind == "Deployment");
        let found = deployments.find(|object| object.component == Some(Component::Inference));
        found.unwrap().manifest["spec"]["template"]["spec"]["containers"][0].clone()
    }

    #[test]
    fn a_server_is_told_everything_that_the_built_in_one_is_configured_with() {
        let container = container(&engine());
        assert_eq!(container["image"], "server:1");
        assert_eq!(container["args"], json!(["--model=$(MODEL_PATH)"]));
        let variables = container["env"].as_array().unwrap().iter();
        let variables: Vec<_> = variables
            .map(|variable| (variable["name"].clone(), variable["value"].clone()))
            .collect();
        let expected = [
            ("MODEL_PATH", json!("/model/m.gguf")),
            ("MODEL_NAME", json!("support")),
            ("CONTEXT_TOKENS", json!("4096")),
            ("MAX_CONCURRENT_REQUESTS", json!("8")),
            ("THREADS", json!("1")),
            ("HOME", json!("/tmp")),
            ("KEY", Value::Null),
        ];
        assert_eq!(
            variables,
            expected.map(|(name, value)| (json!(name), value))
        );
    }

    #[test]
    fn a_server_is_asked_only_what_every_such_server_answers() {
        let container = container(&engine());
        for probe in ["startupProbe", "readinessProbe"] {
            assert_eq!(
                container[probe]["httpGet"],
                json!({ "path": "/v1/models", "port": "http" })
            );
        }
        assert_eq!(
            container["livenessProbe"]["tcpSocket"],
            json!({ "port": "http" })
        );
        assert_eq!(container["ports"].as_array().unwrap().len(), 1);
        assert_eq!(container["ports"][0]["containerPort"], 9000);
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mounts: Vec<_> = mounts
            .iter()
            .map(|mount| mount["mountPath"].clone())
            .collect();
        assert_eq!(mounts, [json!("/tmp"), json!("/model")]);
    }

    #[test]
    fn a_home_of_the_user_s_own_is_kept() {
        let world = world_with(|yaml| {
            format!("{yaml}    engine: {{ image: 'a', env: [{{ name: HOME, value: /home }}] }}\n")
        });
        let variables = container(&world)["env"].clone();
        let homes = variables.as_array().unwrap().iter();
        let homes: Vec<_> = homes
            .filter(|variable| variable["name"] == "HOME")
            .collect();
        assert_eq!(homes.len(), 1, "{homes:?}");
    }

    #[test]
    fn a_server_that_reports_nothing_serves_the_model_when_it_is_ready() {
        let mut world = engine().passed().rolled_out(2);
        for pod in &mut world.observed.pods {
            if pod.component == Component::Inference {
                pod.state = Signal::Unknown(Reason::Pending);
            }
        }
        // What the built-in server said of its model is no word about this one.
        world.observed.status.model = super::super::tests::shown_model();
        let status = world.status();
        let model = find(&status, ConditionType::ModelReady).unwrap();
        assert_eq!(
            (model.status.as_str(), model.reason.as_str()),
            ("True", "Published")
        );
        assert!(model.message.contains("server:1"), "{}", model.message);
        assert_eq!(status.model, None);
    }

    #[test]
    fn without_an_engine_the_built_in_server_is_run() {
        let container = container(&world());
        assert_eq!(container["image"], "chatbot:1");
        assert_eq!(container["args"][0], "inference");
        assert_eq!(container["env"], Value::Null);
    }
}
