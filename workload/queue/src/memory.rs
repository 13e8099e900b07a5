//! The logs in memory: as durable as the process.
