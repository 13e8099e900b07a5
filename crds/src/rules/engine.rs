//! The rules of `inference.engine` and `inference.rollout`.

use super::text::{is_env_name, is_image, is_key, is_object_name, is_text};
use super::{Broken, CONFIG_MAP_KEY, IMAGE, OBJECT_NAME, TEXT};
use crate::config::ADMIN_PORT;
use crate::config::engine::GIVEN;
use crate::spec::{Engine, EnvVar, Rollout};

pub(crate) const AMOUNT: &str = "must be a number of replicas or a percentage such as '25%'";
pub(crate) const ROLLOUT_MOVES: &str =
    "`maxSurge` and `maxUnavailable` may not both be 0: nothing could ever be replaced";
pub(crate) const ENV_NAME: &str =
    "must be a variable's name: letters, digits and '_', and no digit at first";
pub(crate) const ENV_GIVEN: &str = "may not be MODEL_PATH, MODEL_NAME, CONTEXT_TOKENS, MAX_CONCURRENT_REQUESTS or THREADS: \
                                    the operator gives those";
pub(crate) const PORT_TAKEN: &str =
    "may not be 9090: there the pod tells about itself; let the server listen on another port";
pub(crate) const ONE_VALUE: &str = "`value` and `valueFrom` may not be set together";
pub(crate) const ONE_ENV_SOURCE: &str =
    "exactly one of `secretKeyRef` and `configMapKeyRef` must be set";
pub(crate) const SECRET_KEY: &str =
    "must be a Secret's key: letters, digits, '-', '_' and '.', not '..' at first";

impl Broken {
    pub(super) fn rollout(&mut self, path: &str, rollout: &Rollout) {
        for (field, amount) in [
            ("maxSurge", &rollout.max_surge),
            ("maxUnavailable", &rollout.max_unavailable),
        ] {
            self.unless(
                amount.int_or_string().is_some(),
                &format!("{path}.{field}"),
                &amount.to_string(),
                AMOUNT,
            );
        }
        let stands = rollout.max_surge.is_zero() && rollout.max_unavailable.is_zero();
        self.unless(!stands, path, "", ROLLOUT_MOVES);
    }

    pub(super) fn engine(&mut self, path: &str, engine: &Engine) {
        let image = &engine.image;
        self.unless(is_image(image), &format!("{path}.image"), image, IMAGE);
        let free = engine.port != i32::from(ADMIN_PORT);
        let port = engine.port.to_string();
        self.unless(free, &format!("{path}.port"), &port, PORT_TAKEN);
        for (index, argument) in engine.args.iter().enumerate() {
            let path = format!("{path}.args[{index}]");
            self.unless(is_text(argument), &path, "", TEXT);
        }
        for (index, variable) in engine.env.iter().enumerate() {
            self.variable(&format!("{path}.env[{index}]"), variable);
        }
    }

    fn variable(&mut self, path: &str, variable: &EnvVar) {
        let name = &variable.name;
        let path_of_name = format!("{path}.name");
        self.unless(is_env_name(name), &path_of_name, name, ENV_NAME);
        let free = !GIVEN.contains(&name.as_str());
        self.unless(free, &path_of_name, name, ENV_GIVEN);
        let value = variable.value.as_deref().unwrap_or_default();
        self.unless(is_text(value), &format!("{path}.value"), "", TEXT);
        let both = variable.value.is_some() && variable.value_from.is_some();
        self.unless(!both, path, "", ONE_VALUE);
        let Some(source) = &variable.value_from else {
            return;
        };
        let path = format!("{path}.valueFrom");
        let (secret, config_map) = (&source.secret_key_ref, &source.config_map_key_ref);
        let one = secret.is_some() != config_map.is_some();
        self.unless(one, &path, "", ONE_ENV_SOURCE);
        let secret = secret
            .iter()
            .map(|secret| ("secretKeyRef", &secret.name, &secret.key, SECRET_KEY));
        let config_map = config_map
            .iter()
            .map(|map| ("configMapKeyRef", &map.name, &map.key, CONFIG_MAP_KEY));
        for (field, name, key, key_message) in secret.chain(config_map) {
            let at = |part: &str| format!("{path}.{field}.{part}");
            self.unless(is_object_name(name), &at("name"), name, OBJECT_NAME);
            self.unless(is_key(key), &at("key"), key, key_message);
        }
    }
}
