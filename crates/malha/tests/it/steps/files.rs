//! What holds for the files of all steps.

use crate::support::Manifests;

const STEPS: [&str; 8] = [
    "04-retry.yml",
    "05-shifting.yml",
    "06-fault.yml",
    "07-circuit-breaker.yml",
    "08-mirror.yml",
    "09-header-routing.yml",
    "10-security.yml",
    "11-resistance.yml",
];

/// Lines without comments.
fn bare(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.split_once(" #").map_or(line, |(before, _)| before).trim_end());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The document of a file that is of some kind, bare.
fn document<'a>(text: &'a str, kind: &str, name: &str) -> Option<Vec<&'a str>> {
    let (kind, name) = (format!("kind: {kind}"), format!("  name: {name}"));
    text.split("---\n").map(bare).find(|lines| lines.contains(&&*kind) && lines.contains(&&*name))
}

#[tokio::test(start_paused = true)]
async fn every_field_of_every_step_is_carried_out() {
    // A second Deployment writes again what is written in the first: how often does not matter.
    let said = |manifests: &Manifests| -> Vec<String> {
        let messages = manifests.load().1.into_iter().map(|finding| finding.message);
        messages.map(|message| message.split(" (written").next().unwrap().to_owned()).collect()
    };
    let base = said(&Manifests::base());
    for step in STEPS {
        let manifests = Manifests::step(step);
        assert_eq!(said(&manifests), base, "{step} has what the base has not");
        let cluster = manifests.start().await;
        assert_eq!(cluster.running.findings(), [], "{step}");
        assert_eq!(cluster.running.problems(), Vec::<String>::new(), "{step}");
        assert!(cluster.running.pods().iter().all(|pod| pod.ready), "{step}");
    }
}

/// A step has the whole object that it replaces; what it does not mean to change is as in the base.
#[test]
fn rules_that_a_step_is_not_about_are_those_of_the_base() {
    let manifests = Manifests::base();
    let base = document(manifests.text("03-gateway.yml"), "VirtualService", "app-route").unwrap().join("\n");
    let rules: Vec<_> = base.split("\n    - match:\n").collect();
    let mut with_rules = 0;
    for step in STEPS {
        let Some(route) = document(manifests.text(step), "VirtualService", "app-route") else { continue };
        let route = route.join("\n");
        with_rules += 1;
        let changed: Vec<_> = rules.iter().filter(|rule| !route.contains(**rule)).collect();
        assert!(changed.len() <= 1, "{step}: {changed:#?}");
    }
    assert_eq!((rules.len(), with_rules), (5, 5));
}

#[test]
fn the_next_version_is_deployed_as_the_first_is() {
    let manifests = Manifests::base();
    let first = document(manifests.text("01-posts.yml"), "Deployment", "posts-deployment").unwrap().join("\n");
    let next = first.replace("posts-deployment", "posts-deployment-v2").replace("0.0.1", "0.0.2");
    for step in ["05-shifting.yml", "08-mirror.yml", "09-header-routing.yml"] {
        let deployed = document(manifests.text(step), "Deployment", "posts-deployment-v2").unwrap();
        assert_eq!(deployed.join("\n"), next, "{step}");
    }
}

#[test]
fn the_spread_posts_are_those_of_the_base_but_three() {
    let manifests = Manifests::base();
    let first = document(manifests.text("01-posts.yml"), "Deployment", "posts-deployment").unwrap().join("\n");
    let spread = document(manifests.text("11-resistance.yml"), "Deployment", "posts-deployment").unwrap().join("\n");
    let (before, after) = spread.split_once("      topologySpreadConstraints:\n").unwrap();
    let (_, after) = after.split_once("      automountServiceAccountToken").unwrap();
    let rest = format!("{before}      automountServiceAccountToken{after}");
    assert_eq!(rest, first.replace("replicas: 1", "replicas: 3"));
}

#[test]
fn no_step_is_part_of_the_base() {
    let manifests = Manifests::base();
    for step in STEPS {
        assert!(!manifests.text("kustomization.yaml").contains(step), "{step}");
    }
}
