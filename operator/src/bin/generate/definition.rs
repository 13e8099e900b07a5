//! The resource's definition, in YAML.

use anyhow::{Context, Result};
use chatbot_crds::schema;

const HEADER: &str = "# Written by `cargo generate`.\n";

pub fn render() -> Result<String> {
    let yaml = serde_yaml::to_string(&schema::definition())
        .context("failed to write the definition as YAML")?;
    Ok(format!("{HEADER}{yaml}"))
}

/// The chart's copy: an uninstall leaves the definition, and with it every resource, in place.
pub fn kept(definition: &str) -> String {
    definition.replacen(
        "metadata:\n",
        "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n",
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_copy_differs_by_one_annotation() {
        let definition = render().unwrap();
        let parse = |yaml: &str| serde_yaml::from_str::<serde_json::Value>(yaml).unwrap();
        let mut kept = parse(&kept(&definition));
        let annotations = kept["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("annotations")
            .unwrap();
        assert_eq!(annotations["helm.sh/resource-policy"], "keep");
        assert_eq!(kept, parse(&definition));
    }
}
