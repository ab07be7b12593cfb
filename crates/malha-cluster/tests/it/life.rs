//! From a manifest to running pods, and back.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use malha_cluster::{Kind, Outcome};
use tokio::time::Instant;

use crate::node::{Harness, deployment, service};

const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: jwt-keys}
stringData: {public.pem: PEM}
---";

const KEY_ENV: &str = "
        env:
        - {name: KEY, valueFrom: {secretKeyRef: {name: jwt-keys, key: public.pem}}}
        - {name: WHO, value: $(KEY)/$(NONE)}";

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_ready_pods_behind_its_service() {
    let harness = Harness::new();
    let outcomes = harness.apply(&(deployment("posts", 3, "workshop:0.0.1", "") + &service("posts", ""))).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().outcome == Outcome::Created));
    let pods = harness.cluster.pods();
    assert!(pods.len() == 3 && pods.iter().all(|pod| pod.ready && pod.phase == "Running" && pod.reason.is_none()));
    let names: Vec<_> = pods.iter().map(|pod| pod.name.clone()).collect();
    for host in [
        "posts-service",
        "posts-service.default",
        "posts-service.default.svc",
        "posts-service.default.svc.cluster.local",
    ] {
        assert_eq!(harness.behind(host, 80).as_ref(), Some(&names), "{host}");
    }
    assert_eq!(harness.behind("posts-service", 81), None);
    let services = harness.cluster.services();
    assert_eq!((services[0].ready, services[0].ports.as_slice()), (3, &[80][..]));
}

#[tokio::test(start_paused = true)]
async fn names_have_the_form_of_kubernetes_and_follow_from_the_seed() {
    async fn names(seed: u64) -> Vec<String> {
        let harness = Harness::seeded(seed);
        harness.apply(&deployment("posts", 2, "workshop:0.0.1", "")).await;
        harness.cluster.pods().into_iter().map(|pod| pod.name).collect()
    }
    let first = names(1).await;
    let parts: Vec<_> = first[0].split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[2].len()), (3, "posts", 5), "{}", first[0]);
    assert!((6..=10).contains(&parts[1].len()));
    assert_eq!(first, names(1).await);
    assert_ne!(first, names(2).await);
}

#[tokio::test(start_paused = true)]
async fn pods_start_at_the_same_time_and_become_endpoints_together() {
    let harness = Harness::new();
    let start = Instant::now();
    harness.apply_now(&(deployment("posts", 50, "slow:1", "") + &service("posts", "")));
    assert!(harness.cluster.pods().iter().all(|pod| pod.reason.as_deref() == Some("ContainerCreating")));
    assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
    let before = harness.snapshots.lock().len();
    harness.cluster.settled().await;
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(harness.behind("posts-service", 80).unwrap().len(), 50);
    assert!(harness.snapshots.lock().len() - before <= 3, "one snapshot for many pods");
}

#[tokio::test(start_paused = true)]
async fn scaling_keeps_the_pods_that_stay_and_their_endpoints() {
    let harness = Harness::new();
    harness.apply(&(deployment("posts", 4, "workshop:0.0.1", "") + &service("posts", ""))).await;
    let endpoints = |harness: &Harness| {
        let cluster = harness.target("posts-service", 80).unwrap();
        cluster.hosts.iter().map(|host| Arc::clone(&host.endpoint)).collect::<Vec<_>>()
    };
    let before = endpoints(&harness);
    harness.apply(&deployment("posts", 2, "workshop:0.0.1", "")).await;
    let after = endpoints(&harness);
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|endpoint| before.iter().any(|old| Arc::ptr_eq(old, endpoint))), "accounts go on");
    assert_eq!(harness.node.0.lock().running.len(), 2);
    harness.apply(&deployment("posts", 0, "workshop:0.0.1", "")).await;
    assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
    assert!(harness.node.0.lock().running.is_empty());
}

#[tokio::test(start_paused = true)]
async fn applying_the_same_again_changes_nothing() {
    let harness = Harness::new();
    let yaml = SECRET.to_owned() + &deployment("posts", 2, "workshop:0.0.1", KEY_ENV) + &service("posts", "");
    harness.apply(&yaml).await;
    let (pods, version) = (harness.cluster.pods(), harness.cluster.read(malha_cluster::Store::version));
    let outcomes = harness.apply(&yaml).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().outcome == Outcome::Unchanged), "{outcomes:?}");
    assert_eq!((harness.cluster.pods(), harness.cluster.read(malha_cluster::Store::version)), (pods, version));
}

#[tokio::test(start_paused = true)]
async fn a_new_template_replaces_the_pods_once_it_serves() {
    let harness = Harness::new();
    harness.apply(&(deployment("posts", 2, "workshop:0.0.1", "") + &service("posts", ""))).await;
    let old = harness.behind("posts-service", 80).unwrap();
    harness.apply_now(&deployment("posts", 2, "slow:2", ""));
    assert_eq!(harness.behind("posts-service", 80).unwrap(), old, "the old ones serve meanwhile");
    harness.cluster.settled().await;
    tokio::task::yield_now().await;
    let new = harness.behind("posts-service", 80).unwrap();
    assert!(new.len() == 2 && new.iter().all(|name| !old.contains(name)));
    assert!(harness.snapshots.lock().iter().skip_while(|snapshot| snapshot.version < 3).count() > 0);
    assert_eq!(harness.node.0.lock().running.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_template_that_cannot_start_leaves_the_old_pods_serving() {
    let harness = Harness::new();
    harness.apply(&(deployment("posts", 2, "workshop:0.0.1", "") + &service("posts", ""))).await;
    let old = harness.behind("posts-service", 80);
    harness.apply(&deployment("posts", 2, "missing:2", "")).await;
    assert_eq!(harness.behind("posts-service", 80), old);
    assert_eq!(harness.waiting(), ["ErrImagePull: no image missing:2; run malha build"]);
    // Back again: the old set is the current one, nothing starts anew.
    let starts = harness.node.0.lock().starts;
    harness.apply(&deployment("posts", 2, "workshop:0.0.1", "")).await;
    assert_eq!((harness.behind("posts-service", 80), harness.waiting().len()), (old, 0));
    assert_eq!(harness.node.0.lock().starts, starts);
}

#[tokio::test(start_paused = true)]
async fn recreate_stops_the_old_pods_first() {
    let harness = Harness::new();
    let recreate = |image| {
        deployment("posts", 2, image, "").replace("  replicas: 2", "  strategy: {type: Recreate}\n  replicas: 2")
    };
    harness.apply(&(recreate("workshop:0.0.1") + &service("posts", ""))).await;
    harness.apply_now(&recreate("slow:2"));
    assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
    harness.cluster.settled().await;
    assert_eq!(harness.behind("posts-service", 80).unwrap().len(), 2);
    assert!(harness.node.0.lock().running.values().all(|pod| pod.image == "slow:2"));
}

#[tokio::test(start_paused = true)]
async fn deleting_an_owner_takes_everything_of_it_along() {
    let harness = Harness::new();
    harness.apply(&(deployment("posts", 2, "workshop:0.0.1", "") + &service("posts", ""))).await;
    harness.delete(Kind::Deployment, "posts").await.unwrap();
    assert!(harness.cluster.pods().is_empty() && harness.node.0.lock().running.is_empty());
    assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
    harness.delete(Kind::Service, "posts-service").await.unwrap();
    assert_eq!(harness.behind("posts-service", 80), None);
    let error = harness.delete(Kind::Deployment, "posts").await.unwrap_err();
    assert_eq!(error.to_string(), "deployments.apps \"posts\" not found");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_replaced() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", "")).await;
    let name = harness.cluster.pods()[0].name.clone();
    harness.delete(Kind::Pod, &name).await.unwrap();
    let pods = harness.cluster.pods();
    assert!(pods.len() == 1 && pods[0].ready && pods[0].name != name);
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_it_starts_is_stopped_when_it_has() {
    let harness = Harness::new();
    harness.apply_now(&deployment("posts", 1, "slow:1", ""));
    harness.delete(Kind::Deployment, "posts").await.unwrap();
    tokio::task::yield_now().await;
    let account = harness.node.0.lock();
    assert_eq!((account.starts, account.running.len(), account.faults.len()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_everything_in_it_along() {
    let harness = Harness::new();
    let namespace = "\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---";
    let inside = deployment("posts", 2, "workshop:0.0.1", "")
        .replace("{name: posts}\nspec", "{name: posts, namespace: shop}\nspec");
    // The namespace comes last in the file and first in the cluster.
    let outcomes = harness.apply(&(inside + namespace)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(harness.cluster.pods().len(), 2);
    harness.delete(Kind::Namespace, "shop").await.unwrap();
    assert!(harness.cluster.pods().is_empty() && harness.node.0.lock().running.is_empty());
    let error = harness.delete(Kind::Namespace, "default").await.unwrap_err();
    assert_eq!(error.to_string(), "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_refused_does_not_hold_up_the_others() {
    let harness = Harness::new();
    let lost = service("lost", "").replace("{name: lost-service}", "{name: lost-service, namespace: nowhere}");
    let outcomes = harness.apply(&(lost + &service("posts", ""))).await;
    let errors: Vec<_> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(errors, ["namespaces \"nowhere\" not found"]);
    assert_eq!(harness.cluster.services().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_secret_and_starts_when_it_comes() {
    let harness = Harness::new();
    harness.apply(&deployment("auth", 1, "workshop:0.0.1", KEY_ENV)).await;
    assert_eq!(harness.waiting(), ["CreateContainerConfigError: secret \"jwt-keys\" not found"]);
    harness.apply(&SECRET.replace("public.pem", "other.pem")).await;
    assert_eq!(
        harness.waiting(),
        ["CreateContainerConfigError: couldn't find key public.pem in Secret default/jwt-keys"]
    );
    let told = harness
        .cluster
        .events()
        .into_iter()
        .any(|event| event.message.as_deref() == Some("Error: secret \"jwt-keys\" not found"));
    assert!(told);
    harness.apply(SECRET).await;
    assert!(harness.waiting().is_empty());
    let account = harness.node.0.lock();
    let pod = account.running.values().next().unwrap();
    let want = [("KEY", "PEM"), ("WHO", "PEM/$(NONE)")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pod.env, want);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_says_why_and_everything_else_goes_on() {
    let harness = Harness::new();
    let linux = deployment("nginx", 1, "nginx:1", "").replace("      runtimeClassName: wasmtime-spin-v2\n", "");
    harness
        .apply(&(linux + &deployment("panic", 1, "panic:1", "") + &deployment("posts", 1, "workshop:0.0.1", "")))
        .await;
    let waiting = harness.waiting();
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert!(waiting[0].starts_with("UnsupportedByMalha: malha runs Spin applications"), "{waiting:?}");
    assert!(waiting[1].starts_with("RunContainerError: starting failed"), "{waiting:?}");
    assert_eq!(harness.cluster.pods().iter().filter(|pod| pod.ready).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_arrive_as_numbers() {
    let harness = Harness::new();
    let resources = "        resources: {limits: {memory: 128M, cpu: 100m}}";
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", resources)).await;
    let account = harness.node.0.lock();
    let pod = account.running.values().next().unwrap();
    assert_eq!((pod.limits.memory, pod.limits.cpu, pod.limits.cpu_request), (Some(128_000_000), Some(100), Some(100)));
    assert_eq!((pod.ports.as_slice(), pod.ip.to_string().as_str()), (&[80][..], "10.244.0.1"));
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_every_pod_and_closes_the_entrances() {
    let harness = Harness::new();
    harness.apply(&(deployment("posts", 3, "workshop:0.0.1", "") + &service("posts", "  type: LoadBalancer"))).await;
    assert_eq!(harness.snapshot().listeners.len(), 1);
    harness.cluster.shutdown().await;
    assert!(harness.node.0.lock().running.is_empty());
    assert!(harness.snapshot().listeners.is_empty());
    harness.apply(&deployment("late", 1, "workshop:0.0.1", "")).await;
    assert!(harness.node.0.lock().running.is_empty() && harness.snapshot().listeners.is_empty());
}

#[tokio::test(start_paused = true)]
async fn versions_of_the_mesh_only_grow() {
    let harness = Harness::new();
    for replicas in [1, 4, 2, 0] {
        harness.apply(&(deployment("posts", replicas, "workshop:0.0.1", "") + &service("posts", ""))).await;
    }
    let versions: Vec<_> = harness.snapshots.lock().iter().map(|snapshot| snapshot.version).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_changes_switches_the_endpoints_at_once() {
    let harness = Harness::new();
    let both = deployment("blue", 1, "workshop:0.0.1", "") + &deployment("green", 1, "workshop:0.0.2", "");
    harness.apply(&(both + &service("blue", ""))).await;
    assert!(harness.behind("blue-service", 80).unwrap()[0].starts_with("blue-"));
    let before = harness.snapshots.lock().len();
    harness.apply(&service("blue", "").replace("{app: blue}", "{app: green}")).await;
    let switched = harness.behind("blue-service", 80).unwrap();
    assert!(switched.len() == 1 && switched[0].starts_with("green-"), "{switched:?}");
    assert_eq!(harness.snapshots.lock().len() - before, 1, "one switch, nothing in between");
}

#[tokio::test(start_paused = true)]
async fn old_replica_sets_are_kept_up_to_the_limit() {
    let harness = Harness::new();
    for version in 0..6 {
        let yaml = deployment("posts", 1, &format!("workshop:{version}"), "");
        harness.apply(&yaml.replace("  replicas:", "  revisionHistoryLimit: 2\n  replicas:")).await;
    }
    let sets = harness.cluster.read(|store| store.list::<ReplicaSet>().count());
    assert_eq!((sets, harness.node.0.lock().running.len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_and_does_not_roll_out() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", "")).await;
    let paused = deployment("posts", 3, "workshop:0.0.2", "").replace("  replicas:", "  paused: true\n  replicas:");
    harness.apply(&paused).await;
    let images: Vec<_> = harness.cluster.pods().into_iter().map(|pod| pod.image).collect();
    assert_eq!(images, ["workshop:0.0.1"; 3]);
    harness
        .apply(&deployment("posts", 3, "workshop:0.0.2", "").replace("  replicas:", "  paused: false\n  replicas:"))
        .await;
    assert!(harness.cluster.pods().into_iter().all(|pod| pod.image == "workshop:0.0.2"));
}

#[tokio::test(start_paused = true)]
async fn the_runtime_class_of_ones_own_takes_the_place_of_malhas() {
    let harness = Harness::new();
    let class = |handler: &str| {
        format!(
            "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {{name: wasmtime-spin-v2}}\nhandler: {handler}\n"
        )
    };
    assert!(harness.apply(&class("spin")).await[0].is_ok());
    let error = harness.apply(&class("spin-v2")).await.remove(0).unwrap_err();
    assert!(
        error.to_string().ends_with("is invalid: handler: Invalid value: \"spin-v2\": field is immutable"),
        "{error}"
    );
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", "")).await;
    assert!(harness.cluster.pods()[0].ready);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_runtime_class() {
    let harness = Harness::new();
    let yaml = deployment("posts", 1, "workshop:0.0.1", "").replace("wasmtime-spin-v2", "mine");
    harness.apply(&yaml).await;
    assert!(harness.waiting()[0].contains("RuntimeClass \"mine\" not found"), "{:?}", harness.waiting());
    harness.apply("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: mine}\nhandler: spin-v2\n").await;
    assert!(harness.cluster.pods()[0].ready);
}
