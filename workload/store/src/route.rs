//! Routes: where a user can be reached, by channel.

use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Account;

use crate::Unavailable;

/// How often a gateway announces a socket that it holds.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);
/// A socket's route that was not announced for so long is not given any more: its gateway has died.
pub const SOCKET_LIFE: Duration = Duration::from_secs(90);

/// Where a user can be reached on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// The chat, in the platform's own terms, as in the message that came from there.
    pub origin: String,
    /// The gateway that holds the user's socket, by the address that other gateways reach it at; absent for a chat that
    /// any gateway reaches. Without white space.
    pub instance: Option<String>,
    /// Which of two routes over one channel is the newer. Of a socket: given by [`Routes::open`]. Of a chat that any
    /// gateway reaches: the position of the latest reply in `response[p]`.
    pub epoch: u64,
}

/// Routes by user: one for each channel.
///
/// Those to chats that any gateway reaches come from the journal, with the sessions ([`crate::Update::routes`]). A
/// socket's comes from the gateway that holds it, and is deleted by its epoch: the clean-up of an old socket never
/// deletes the route of a newer one, whichever gateway holds that, and whichever is told first.
///
/// `account` is the user's own or, where accounts are linked, the main one; the partition is that account's.
#[async_trait]
pub trait Routes: Send + Sync {
    /// Every route of a user that can be used now, in order of channel.
    async fn routes(&self, partition: u32, account: &Account) -> Result<Vec<Route>, Unavailable>;
    /// A socket was opened: from now on it is the channel's route. Gives its epoch, which is greater than that of any
    /// route the channel had, and than any given before, as far as the store's clock does not go back.
    async fn open(
        &self,
        partition: u32,
        account: &Account,
        socket: Socket<'_>,
    ) -> Result<u64, Unavailable>;
    /// The socket of `epoch` is still there: every [`ANNOUNCE_EVERY`], and when the view's position has fallen back.
    /// Says whether it is the channel's route; it is not when a newer socket is.
    async fn announce(
        &self,
        partition: u32,
        account: &Account,
        socket: Socket<'_>,
        epoch: u64,
    ) -> Result<bool, Unavailable>;
    /// The socket of `epoch` was closed. Says whether its route was there and has been deleted.
    async fn close(
        &self,
        partition: u32,
        account: &Account,
        channel: &str,
        epoch: u64,
    ) -> Result<bool, Unavailable>;
}

/// A socket as its gateway tells of it: a [`Route`] without its epoch.
#[derive(Clone, Copy, Debug)]
pub struct Socket<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The chat, in the platform's own terms.
    pub origin: &'a str,
    /// The gateway that holds it, by the address that other gateways reach it at. Without white space.
    pub instance: &'a str,
}

/// A route as it is stored, with when it was announced last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) epoch: u64,
    /// Milliseconds since the epoch; 0 of a route that came from the journal.
    pub(crate) announced: i64,
    pub(crate) instance: Option<String>,
    pub(crate) origin: String,
}

impl Stored {
    /// Whether its gateway was heard of lately, if it needs one.
    pub(crate) fn is_alive(&self, now: i64) -> bool {
        self.instance.is_none() || now.saturating_sub(self.announced) <= crate::millis(SOCKET_LIFE)
    }

    /// As it is given to whoever asks.
    pub(crate) fn route(self, channel: String) -> Route {
        Route {
            channel,
            origin: self.origin,
            instance: self.instance,
            epoch: self.epoch,
        }
    }
}
