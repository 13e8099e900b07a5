//! Another server of `OpenAI`'s API in the place of the built-in one.
//!
//! Whether it is up is asked at `GET /v1/models`: of the paths in use it is the only one that the API itself has, so
//! every server has it; `/health` is a habit of some. It is alive as long as it takes connections: one that computes an
//! answer in its only thread is busy, not dead. Whether it answers is asked by a container beside it, once.

use std::collections::BTreeMap;

use chatbot_crds::config::engine::environment;
use chatbot_crds::config::{ADMIN_PORT, CONFIG_FILE, InferenceConfig};
use chatbot_crds::settings::{Engine, Resources};
use chatbot_crds::spec::Quantity;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, PodSpec, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::names;
use crate::pod::{container_port, mount};

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

/// What the container beside it needs: CPU and memory requested, and the most memory.
const EXAMINER: [&str; 3] = ["5m", "16Mi", "32Mi"];

/// Puts the engine into the pod of the built-in server, whose container then examines it. The configuration stays among
/// the pod's volumes, by which it is known what a pod was made from; the server gets the same values in its environment.
pub(super) fn put_in(pod: &mut PodSpec, engine: &Engine, port: &str, config: &InferenceConfig) {
    let Some(container) = pod.containers.first_mut() else {
        return;
    };
    let examiner = examiner(container.clone(), engine);
    container.image = Some(engine.image.clone());
    container.args = (!engine.args.is_empty()).then(|| engine.args.clone());
    container.env = Some(variables(engine, config));
    container.ports = Some(vec![container_port(port, engine.port)]);
    if let Some(mounts) = &mut container.volume_mounts {
        mounts.retain(|mount| mount.name != "config");
    }
    probes(container, port);
    pod.containers.push(examiner);
}

/// The pod is not ready before this container is, which asks the engine as workers do until it has answered once.
fn examiner(built_in: Container, engine: &Engine) -> Container {
    let port = engine.port.to_string();
    let args = ["examine", "--config", CONFIG_FILE, "--port", &port];
    let [cpu, request, limit] = EXAMINER.map(Quantity::from);
    let resources = Resources {
        requests: BTreeMap::from([("cpu".to_owned(), cpu), ("memory".to_owned(), request)]),
        limits: BTreeMap::from([("memory".to_owned(), limit)]),
    };
    Container {
        name: names::EXAMINER.to_owned(),
        args: Some(args.map(str::to_owned).to_vec()),
        ports: Some(vec![container_port(names::ADMIN_PORT_NAME, ADMIN_PORT)]),
        resources: resources.requirements(),
        volume_mounts: Some(vec![mount("config", names::CONFIG_DIRECTORY, true)]),
        ..built_in
    }
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
        containers(world)[0].clone()
    }

    fn containers(world: &World) -> Vec<Value> {
        let plan = crate::plan(world);
        let mut deployments = plan
            .objects
            .iter()
            .filter(|object| object.key.kind == "Deployment");
        let found = deployments.find(|object| object.component == Some(Component::Inference));
        found.unwrap().manifest["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .clone()
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
    fn the_container_beside_it_asks_it_and_is_as_confined_as_the_built_in_server() {
        let beside = containers(&engine())[1].clone();
        let args = [
            "examine",
            "--config",
            "/config/config.yaml",
            "--port",
            "9000",
        ];
        assert_eq!(beside["args"], json!(args));
        let resources = json!({
            "requests": { "cpu": "5m", "memory": "16Mi" }, "limits": { "memory": "32Mi" },
        });
        assert_eq!(beside["resources"], resources);
        let port = json!([{ "name": "admin", "containerPort": 9090, "protocol": "TCP" }]);
        assert_eq!(beside["ports"], port);
        let mounts = json!([{ "name": "config", "mountPath": "/config", "readOnly": true }]);
        assert_eq!(beside["volumeMounts"], mounts);
        let built_in = container(&world());
        for same in [
            "image",
            "imagePullPolicy",
            "startupProbe",
            "readinessProbe",
            "livenessProbe",
            "lifecycle",
            "securityContext",
            "terminationMessagePolicy",
        ] {
            assert!(!beside[same].is_null(), "{same}");
            assert_eq!(beside[same], built_in[same], "{same}");
        }
        assert_eq!(
            container(&engine())["resources"],
            built_in["resources"],
            "an instance keeps its share"
        );
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
        assert_eq!(containers(&world()).len(), 1);
        let container = container(&world());
        assert_eq!(container["image"], "chatbot:1");
        assert_eq!(container["args"][0], "inference");
        assert_eq!(container["env"], Value::Null);
    }
}
