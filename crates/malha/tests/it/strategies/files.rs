//! What holds for the files of all strategies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use malha_manifest::{Input, load};

use super::stage::{folder, lines};
use crate::support::Manifests;

/// The folders, but for what they have in common.
fn strategies() -> Vec<String> {
    let entries = fs::read_dir(folder("")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "base");
    names.sort();
    names
}

#[test]
fn every_strategy_is_tried() {
    let tried = [
        "ab-header",
        "blue-green",
        "canary-replicas",
        "canary-weight",
        "feature-toggle",
        "recreate",
        "rolling",
        "shadow",
    ];
    assert_eq!(strategies(), tried);
    let overview = fs::read_to_string(folder("README.md")).unwrap();
    for strategy in tried {
        assert!(overview.contains(&format!("]({strategy}/README.md)")), "{strategy}");
        assert_eq!(lines(strategy)[0], format!("kubectl apply -k k8s/strategies/{strategy}"));
    }
}

#[test]
fn every_field_is_carried_out_that_the_workshop_has_carried_out() {
    let said = |inputs: &[Input]| -> BTreeSet<String> {
        let messages = load(inputs).diagnostics.into_iter().map(|finding| finding.message);
        messages.map(|message| message.split(" (written").next().unwrap().to_owned()).collect()
    };
    let base = Manifests::base().write();
    let base = said(&[Input::Kustomize(base.path().to_owned())]);
    for strategy in strategies() {
        let own = said(&[Input::Kustomize(folder(&strategy))]);
        assert!(own.is_subset(&base), "{strategy}: {:#?}", own.difference(&base));
    }
}

/// The lines of each Deployment in a file, without comments.
fn deployments(file: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap();
    let documents = text.split("---\n").filter(|document| document.contains("kind: Deployment\n"));
    let bare = |line: &str| line.split(" #").next().unwrap().to_owned();
    documents.map(|text| text.lines().map(bare).filter(|line| !line.starts_with('#')).collect()).collect()
}

#[test]
fn the_next_version_is_deployed_as_the_first_is() {
    let pods = |lines: &[String]| {
        lines.iter().filter(|line| !line.starts_with("  replicas:")).map(String::as_str).collect::<Vec<_>>().join("\n")
    };
    let [first, next] = ["v1.yml", "v2.yml"].map(|file| pods(&deployments(&folder("base/versions").join(file))[0]));
    assert_eq!(first.replace("relay-v1", "relay-v2").replace("0.0.1", "0.0.2"), next);
    let both = deployments(&folder("canary-weight/next.yml"));
    assert_eq!(pods(&both[0]).replace("next-v1", "next-v2").replace("0.0.1", "0.0.2"), pods(&both[1]));
}

/// They are written down several times: what makes a pod safe, and what keeps requests from being lost, is the same in all.
#[test]
fn all_pods_end_and_are_locked_up_alike() {
    let alike = |lines: &[String]| -> Vec<String> {
        let fields = ["Probe: ", "lifecycle: ", "securityContext: ", "Seconds: ", "resources: ", "runtimeClassName: "];
        lines.iter().filter(|line| fields.iter().any(|field| line.contains(field))).cloned().collect()
    };
    let model = alike(&deployments(&folder("base/versions/v1.yml"))[0]);
    assert_eq!(model.len(), 9, "{model:#?}");
    for file in ["recreate/relay.yml", "rolling/relay.yml", "feature-toggle/relay.yml", "canary-weight/next.yml"] {
        for deployment in deployments(&folder(file)) {
            let mut own = alike(&deployment);
            own.retain(|line| !line.starts_with("  minReadySeconds: "));
            assert_eq!(own, model, "{file}");
        }
    }
}
