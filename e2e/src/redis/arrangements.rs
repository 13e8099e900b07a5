//! Several servers together.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Server, free_port, wait_until};
use crate::command;

/// A Redis Cluster of masters without replicas.
pub struct Cluster {
    /// Its masters.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// One of so many masters, at least 3.
    pub fn start(masters: usize) -> Result<Self> {
        let node = |_| {
            let bus = free_port()?.to_string();
            let cluster = [
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                &bus,
            ];
            Server::start_with(&cluster, &[])
        };
        let nodes: Vec<Server> = (0..masters).map(node).collect::<Result<_>>()?;
        let mut create = Command::new("redis-cli");
        create
            .args(["--cluster", "create"])
            .args(nodes.iter().map(Server::address))
            .arg("--cluster-yes");
        command::output(&mut create)?;
        let cluster = Self { nodes };
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// Returns when every node knows that all slots are served.
    pub fn wait_until_whole(&self) -> Result<()> {
        for node in &self.nodes {
            wait_until("a Cluster that is whole", || {
                let info = node.ask(&["CLUSTER", "INFO"])?;
                Ok(info.contains("cluster_state:ok"))
            })?;
        }
        Ok(())
    }

    /// Addresses of all nodes.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Server::address).collect()
    }

    /// Forgets every key.
    pub fn flush(&self) -> Result<()> {
        self.nodes.iter().try_for_each(Server::flush)
    }

    /// The node that has the slot of a key, which must have keys.
    pub fn holder(&self, key: &str) -> Result<&Server> {
        let (place, _) = self.place(key)?;
        Ok(&self.nodes[place])
    }

    fn place(&self, key: &str) -> Result<(usize, String)> {
        let slot = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key])?;
        for (place, node) in self.nodes.iter().enumerate() {
            if node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &slot])? != "0" {
                return Ok((place, slot));
            }
        }
        anyhow::bail!("no node has keys in slot {slot}")
    }

    /// Moves the slot of a key to another node, keys and all: from then on the old one answers `MOVED`.
    pub fn move_slot_of(&self, key: &str) -> Result<()> {
        let (place, slot) = self.place(key)?;
        let (old, new) = (
            &self.nodes[place],
            &self.nodes[(place + 1) % self.nodes.len()],
        );
        let (old_id, new_id) = (
            old.ask(&["CLUSTER", "MYID"])?,
            new.ask(&["CLUSTER", "MYID"])?,
        );
        new.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &old_id])?;
        old.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &new_id])?;
        let keys = old.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "10000"])?;
        let port = new.port().to_string();
        let mut migrate = vec![
            "MIGRATE",
            "127.0.0.1",
            &port,
            "",
            "0",
            "5000",
            "REPLACE",
            "KEYS",
        ];
        migrate.extend(keys.lines());
        old.ask(&migrate)?;
        for node in [new, old] {
            node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &new_id])?;
        }
        Ok(())
    }
}

/// A master with one replica, and three sentinels that watch over both.
pub struct Replicated {
    /// The master at first.
    pub master: Server,
    /// The replica at first.
    pub replica: Server,
    sentinels: Vec<Server>,
}

impl Replicated {
    /// What the sentinels call the master.
    pub const MASTER_NAME: &str = "chat";

    /// Starts all of them. A master that is silent for half a second is replaced.
    pub fn start() -> Result<Self> {
        let master = Server::start()?;
        let port = master.port().to_string();
        let replica = Server::start_with(&["--replicaof", "127.0.0.1", &port], &[])?;
        wait_until("a replica that follows", || {
            let info = replica.ask(&["INFO", "replication"])?;
            Ok(info.contains("master_link_status:up"))
        })?;
        let sentinels = (0..3)
            .map(|_| sentinel(&master))
            .collect::<Result<Vec<_>>>()?;
        for sentinel in &sentinels {
            wait_until("sentinels that know each other", || {
                let said = sentinel.ask(&["SENTINEL", "MASTER", Self::MASTER_NAME])?;
                let words: Vec<&str> = said.lines().collect();
                let is =
                    |name: &str, value: &str| words.windows(2).any(|pair| pair == [name, value]);
                Ok(
                    is("num-other-sentinels", "2")
                        && is("num-slaves", "1")
                        && is("flags", "master"),
                )
            })?;
        }
        Ok(Self {
            master,
            replica,
            sentinels,
        })
    }

    /// Addresses of the sentinels.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::address).collect()
    }
}

fn sentinel(master: &Server) -> Result<Server> {
    let name = Replicated::MASTER_NAME;
    let port = master.port();
    // A sentinel writes what it learns into its configuration, so it must have a file.
    let text = format!(
        "sentinel monitor {name} 127.0.0.1 {port} 2\nsentinel down-after-milliseconds {name} 500\nsentinel \
         failover-timeout {name} 5000\n"
    );
    let file = master
        .folder()
        .join(format!("sentinel-{}.conf", free_port()?));
    fs::write(&file, text).context("failed to write a sentinel's configuration")?;
    let file = file.to_string_lossy();
    Server::sentinel(&file)
}
