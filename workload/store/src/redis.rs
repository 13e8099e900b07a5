//! Sessions, routes and previews in Redis: one server, one behind Sentinel, or a Cluster.
//!
//! Every key begins with the prefix and the partition, as a hash tag, so that all keys of a partition are in one slot:
//!
//! | key | type | what |
//! |---|---|---|
//! | `{<prefix><partition>}:at` | string | position of the partition's view and the fold there: `<position> <fold>` |
//! | `{<prefix><partition>}:s:<channel>:<user>` | list | turns of a session, oldest first: `<position> <at> <JSON>` |
//! | `{<prefix><partition>}:r:<channel>:<user>` | hash | routes by channel: `<epoch> <announced> <instance or -> <origin>` |
//! | `<prefix>a:<key>` | string | an answer kept for those who ask the same, until it expires |
//! | `<prefix>c:<code>` | string | a code to link accounts by: `<taken until> <message that took it, or -> <account>` |
//! | `{<prefix><partition>}:t:<channel>:<user>` | hash | messages with which an account has tried codes |
//! | `<prefix>look:<process>` | string | what the latest look has written, for 10 seconds |
//! | `{<prefix>look}:<h or l>:<process>` | hash, list | what a look's script writes and deletes |
//! | `<prefix>previews` | channel | previews of answers under way, JSON |
//!
//! An update of a partition is one script, which compares the position before it changes anything. So a flush, a
//! restart from an old snapshot and a failover to a replica that is behind are one case: whoever writes is told the
//! position that is there, and continues from it. Nothing here is truth, and no write waits for replicas.
//!
//! Needs Redis 6.2, or what speaks its protocol: RESP3 with client tracking, scripts and, from a user with an ACL, the
//! commands of [`COMMANDS`].

mod answers;
mod codes;
mod connect;
mod connection;
mod keys;
mod look;
mod near;
mod options;
mod previews;
mod record;
mod script;
mod state;
mod view;

pub use answers::RedisAnswers;
pub use codes::RedisCodes;
pub use connection::Connection;
pub use options::{Invalid, Mode, Options, Timeouts, Tls};
pub use previews::RedisPreviews;
pub use state::{Reason, State};
pub use view::RedisView;

/// What a user with an ACL must be allowed, as an ACL rule; besides `~<prefix>*`, `~{<prefix>*` and `&<prefix>previews`.
/// The first three rights only make faults plain: a replica where a master was named, and keys that would be evicted.
pub const COMMANDS: &str = "+role +info +cluster|info +hello +ping +client|tracking +client|caching +cluster|slots \
     +cluster|shards +cluster|nodes +readonly +evalsha +eval +get +set +del +exists +pexpire +lindex +lrange +rpush \
     +ltrim +hget +hgetall +hset +hdel +pttl +time +publish +subscribe";
