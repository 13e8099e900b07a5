//! Scripts: called by their digest, and sent whole where the server does not have them (any more).

use std::sync::OnceLock;

use ::redis::Cmd;

/// A script of its own file.
pub(crate) struct Script {
    code: &'static str,
    digest: OnceLock<String>,
}

/// Step W9 of the message guarantee.
pub(crate) static APPLY: Script = Script::new(include_str!("apply.lua"));
/// A session, with where the view is.
pub(crate) static SESSION: Script = Script::new(include_str!("session.lua"));
/// A socket was opened.
pub(crate) static OPEN: Script = Script::new(include_str!("open.lua"));
/// A socket is still there.
pub(crate) static ANNOUNCE: Script = Script::new(include_str!("announce.lua"));
/// A socket was closed.
pub(crate) static CLOSE: Script = Script::new(include_str!("close.lua"));
/// A code is made.
pub(crate) static OFFER: Script = Script::new(include_str!("offer.lua"));
/// A code is taken.
pub(crate) static TAKE: Script = Script::new(include_str!("take.lua"));
/// The look's own.
pub(crate) static LOOK: Script = Script::new(include_str!("look.lua"));
/// A code is tried.
pub(crate) static ATTEMPT: Script = Script::new(include_str!("attempt.lua"));

impl Script {
    const fn new(code: &'static str) -> Self {
        Self {
            code,
            digest: OnceLock::new(),
        }
    }

    /// The call by digest.
    pub(crate) fn by_digest(&self, keys: &[String], arguments: &[String]) -> Cmd {
        let digest = self
            .digest
            .get_or_init(|| ::redis::Script::new(self.code).get_hash().to_owned());
        call("EVALSHA", digest, keys, arguments)
    }

    /// The same call with the script itself, which the server keeps.
    pub(crate) fn whole(&self, keys: &[String], arguments: &[String]) -> Cmd {
        call("EVAL", self.code, keys, arguments)
    }
}

fn call(command: &str, script: &str, keys: &[String], arguments: &[String]) -> Cmd {
    let mut call = ::redis::cmd(command);
    call.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    call
}
