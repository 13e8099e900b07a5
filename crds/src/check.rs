//! What the schema says of a value.

use crate::Fault;
use crate::spec::ChatBotCluster;

pub(crate) fn faults(_cluster: &ChatBotCluster) -> Vec<Fault> {
    Vec::new()
}
