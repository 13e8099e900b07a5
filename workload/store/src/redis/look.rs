//! The look: whether the store answers, and lets us do what is needed of it.
//!
//! One that answers may still be full, unable to save, a replica, or forbid our user our keys: only a write shows it. So
//! every look writes keys of its own and reads them back, with the commands that are in use. In a Cluster every master
//! must answer, and those of two slots take the writes: that is enough for the rights, which are the same everywhere; a
//! single other master that is full is told by nobody.

use std::time::Duration;

use ::redis::{RedisResult, cmd};

use super::connect::Wire;
use super::connection::is_no_script;
use super::keys::Keys;
use super::options::Options;
use super::script;
use super::state::State;
use crate::millis;

/// For how long a look's key is there, if the next look does not write it again.
const LIFE: Duration = Duration::from_secs(10);

/// Looks at a store by keys that no other process writes.
pub(crate) struct Look {
    plain: String,
    in_script: [String; 2],
}

impl Look {
    pub(crate) fn new(keys: &Keys) -> Self {
        let whose = format!("{:016x}", fastrand::u64(..));
        Self {
            plain: keys.look(&whose),
            in_script: ["h", "l"].map(|kind| keys.look_in_script(kind, &whose)),
        }
    }

    /// What is wrong, if something is. The caller bounds the time.
    pub(crate) async fn at(&self, wire: &Wire, options: &Options) -> Result<(), State> {
        let looked = async {
            wire.check().await?;
            self.is_kept(wire.clone()).await
        };
        match looked.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(State::refuses(
                options,
                "what was written was not there to be read",
                "see that spec.state.redis.addresses lead to a Redis itself",
            )),
            Err(error) => Err(State::of(&error, options)),
        }
    }

    async fn is_kept(&self, mut wire: Wire) -> RedisResult<bool> {
        let (what, life) = (fastrand::u64(..).to_string(), millis(LIFE).to_string());
        let mut set = cmd("SET");
        set.arg(&self.plain).arg(&what).arg("PX").arg(&life);
        set.query_async::<()>(&mut wire).await?;
        let mut get = cmd("GET");
        get.arg(&self.plain);
        let mut read: Vec<Option<String>> = vec![get.query_async(&mut wire).await?];

        let arguments = [what, life];
        let digest = script::LOOK.by_digest(&self.in_script, &arguments);
        let run: RedisResult<Vec<Option<String>>> = match digest.query_async(&mut wire).await {
            Err(error) if is_no_script(&error) => {
                let whole = script::LOOK.whole(&self.in_script, &arguments);
                whole.query_async(&mut wire).await
            }
            run => run,
        };
        read.extend(run?);
        let [what, _] = &arguments;
        Ok(read.iter().all(|read| read.as_ref() == Some(what)))
    }
}
