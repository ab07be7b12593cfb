//! Whatever is applied and deleted, in whatever order: replicas, owners and endpoints agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use malha_cluster::{Kind, Part, Store, Stored};
use malha_routing::Snapshot;
use proptest::prelude::*;

use crate::node::{Harness, Pod as Running, deployment, destinations, find, pods as pods_of, service};

#[derive(Clone, Debug)]
enum Step {
    Deploy {
        app: usize,
        replicas: u32,
        image: usize,
        recreate: bool,
    },
    Serve {
        app: usize,
        load_balancer: bool,
    },
    Secret,
    DeletePod(prop::sample::Index),
    DeleteSet(prop::sample::Index),
    Delete(Kind, usize),
    /// Somebody else's finger: the size alone.
    Scale {
        app: usize,
        replicas: i32,
    },
    Wait,
    Sleep(u64),
}

const APPS: [&str; 3] = ["posts", "comments", "auth"];
const IMAGES: [&str; 5] = ["workshop:0.0.1", "workshop:0.0.2", "slow:1", "missing:1", "panic:1"];
const ENV: &str = "
        env:
        - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: k}}}";
const SLOW_END: &str = "
        readinessProbe: {httpGet: {port: http}}
        lifecycle: {preStop: {sleep: {seconds: 3}}}";

fn step() -> impl Strategy<Value = Step> {
    let app = 0..APPS.len();
    prop_oneof![
        6 => (app.clone(), 0..5_u32, 0..IMAGES.len(), any::<bool>())
            .prop_map(|(app, replicas, image, recreate)| Step::Deploy { app, replicas, image, recreate }),
        3 => (app.clone(), any::<bool>()).prop_map(|(app, load_balancer)| Step::Serve { app, load_balancer }),
        1 => Just(Step::Secret),
        2 => any::<prop::sample::Index>().prop_map(Step::DeletePod),
        1 => any::<prop::sample::Index>().prop_map(Step::DeleteSet),
        2 => (prop::sample::select(vec![Kind::Deployment, Kind::Service, Kind::Secret]), app.clone())
            .prop_map(|(kind, app)| Step::Delete(kind, app)),
        2 => (app, 0..5_i32).prop_map(|(app, replicas)| Step::Scale { app, replicas }),
        2 => Just(Step::Wait),
        2 => (1..30_u64).prop_map(Step::Sleep),
    ]
}

async fn take(harness: &Harness, step: &Step) {
    let named = |kind| {
        harness.cluster.read(|store| match kind {
            Kind::Pod => store.list::<Pod>().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>(),
            _ => store.list::<ReplicaSet>().filter_map(|set| set.metadata.name.clone()).collect(),
        })
    };
    let delete = |kind, name: &str| drop(harness.cluster.delete(&malha_cluster::Key::new(kind, "default", name)));
    match step {
        Step::Deploy { app, replicas, image, recreate } => {
            // `auth` cannot run without its Secret.
            // `comments` takes its time to go, and is asked how it is.
            let env = match APPS[*app] {
                "auth" => ENV,
                "comments" => SLOW_END,
                _ => "",
            };
            let mut yaml = deployment(APPS[*app], *replicas, IMAGES[*image], env);
            if *recreate {
                yaml = yaml.replace("  replicas:", "  strategy: {type: Recreate}\n  replicas:");
            }
            harness.apply_now(&yaml);
        }
        Step::Serve { app, load_balancer } => {
            let kind = if *load_balancer { "  type: LoadBalancer" } else { "" };
            harness.apply_now(&service(APPS[*app], kind));
        }
        Step::Secret => {
            harness.apply_now("apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {k: v}");
        }
        Step::DeletePod(index) | Step::DeleteSet(index) => {
            let kind = if matches!(step, Step::DeletePod(_)) { Kind::Pod } else { Kind::ReplicaSet };
            let all = named(kind);
            if !all.is_empty() {
                delete(kind, &all[index.index(all.len())]);
            }
        }
        Step::Delete(Kind::Secret, _) => delete(Kind::Secret, "keys"),
        Step::Delete(Kind::Service, app) => delete(Kind::Service, &format!("{}-service", APPS[*app])),
        Step::Delete(kind, app) => delete(*kind, APPS[*app]),
        Step::Scale { app, replicas } => {
            harness.cluster.write(|registry| {
                let found = registry.store().get::<Deployment>("default", APPS[*app]).cloned();
                let Some(mut deployment) = found.map(|found| Deployment::clone(&found)) else { return };
                deployment.spec.as_mut().unwrap().replicas = Some(*replicas);
                registry.update(deployment.into_object(), Part::Whole, false).unwrap();
            });
        }
        Step::Wait => harness.cluster.settled().await,
        Step::Sleep(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
    }
    consistent(harness);
}

/// What holds at any time.
fn consistent(harness: &Harness) {
    harness.cluster.read(|store| {
        let uids: BTreeSet<_> = everything(store).into_keys().collect();
        for (uid, owners) in everything(store) {
            assert!(owners.iter().all(|owner| uids.contains(owner)), "{uid} has lost its owner");
        }
        for deployment in store.list::<Deployment>() {
            let wanted = deployment.spec.as_ref().unwrap().replicas.unwrap();
            let replicas = |set: &ReplicaSet| set.spec.as_ref().unwrap().replicas.unwrap();
            let sets: Vec<_> =
                store.list::<ReplicaSet>().filter(|set| owns(deployment.as_ref(), set.as_ref())).collect();
            assert!(sets.iter().all(|set| pods(store, set) == replicas(set)), "a set has its pods");
            // The default: a quarter more than wanted.
            let all: i32 = sets.iter().map(|set| replicas(set)).sum();
            assert!(all <= wanted + (wanted + 3) / 4, "{all} pods for {wanted}");
            let revisions: BTreeSet<_> = sets
                .iter()
                .map(|set| set.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"].clone())
                .collect();
            assert_eq!(revisions.len(), sets.len(), "each set has a revision of its own");
        }
        let addresses: Vec<_> = store.list::<Pod>().filter_map(|pod| pod.status.as_ref()?.pod_ip.clone()).collect();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "no address twice");
        let addresses: BTreeSet<_> =
            store.list::<Service>().filter_map(|service| service.spec.as_ref()?.cluster_ip.clone()).collect();
        assert_eq!(addresses.len(), store.list::<Service>().count(), "no cluster address twice");
        mesh_agrees(store, &harness.snapshot());
    });
    let versions: Vec<_> = harness.cluster.read(|store| store.since(0).unwrap().map(|change| change.version).collect());
    assert!(
        versions.iter().zip(1..).all(|(version, count)| *version == count),
        "each write has a version, none is lost"
    );
}

/// Behind each Service's name are exactly the ready pods that it selects.
fn mesh_agrees(store: &Store, snapshot: &Snapshot<Running>) {
    for app in APPS {
        let host = format!("{app}-service.default.svc.cluster.local");
        let table = snapshot.sidecars.get("default").and_then(|sidecars| sidecars.others.ports.get(&80));
        let found = table.and_then(|table| find(table, &host, "/", &[]));
        let exists = store.get::<Service>("default", &format!("{app}-service")).is_some();
        assert_eq!(found.is_some(), exists, "{host}");
        let Some(found) = found else { continue };
        let cluster = destinations(found)[0].cluster.as_ref().unwrap();
        let mut got: Vec<_> = pods_of(cluster).iter().map(|pod| pod.uid.clone()).collect();
        got.sort();
        let ready = store.list::<Pod>().filter(|pod| pod.metadata.labels.as_ref().unwrap()["app"] == app && ready(pod));
        let mut want: Vec<_> = ready.map(|pod| pod.metadata.uid.clone().unwrap()).collect();
        want.sort();
        assert_eq!(got, want, "{host}");
    }
    assert_eq!(
        snapshot.listeners.len(),
        store
            .list::<Service>()
            .filter(|service| { service.spec.as_ref().unwrap().type_.as_deref() == Some("LoadBalancer") })
            .count()
    );
}

fn ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && is_ready(pod)
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == "Ready" && c.status == "True")
}

fn everything(store: &Store) -> BTreeMap<String, Vec<String>> {
    fn add<T: Stored>(store: &Store, all: &mut BTreeMap<String, Vec<String>>) {
        for object in store.list::<T>() {
            // What is on its way out may have lost its owner already.
            let stays = object.metadata().deletion_timestamp.is_none();
            let owners = object.metadata().owner_references.iter().flatten().filter(|_| stays);
            let owners = owners.map(|owner| owner.uid.clone());
            all.insert(object.metadata().uid.clone().unwrap(), owners.collect());
        }
    }
    let mut all = BTreeMap::new();
    add::<Namespace>(store, &mut all);
    add::<Deployment>(store, &mut all);
    add::<ReplicaSet>(store, &mut all);
    add::<Pod>(store, &mut all);
    add::<Service>(store, &mut all);
    add::<EndpointSlice>(store, &mut all);
    all
}

fn owns(owner: &impl Stored, object: &impl Stored) -> bool {
    let uid = owner.metadata().uid.as_ref();
    object.metadata().owner_references.iter().flatten().any(|reference| Some(&reference.uid) == uid)
}

fn pods(store: &Store, set: &ReplicaSet) -> i32 {
    let stays = |pod: &Pod| owns(set, pod) && pod.metadata.deletion_timestamp.is_none();
    i32::try_from(store.list::<Pod>().filter(|pod| stays(pod)).count()).unwrap()
}

/// A Service's Endpoints name the addresses that its slices name.
fn endpoints_agree(store: &Store) {
    for service in store.list::<Service>() {
        let endpoints = store.get::<Endpoints>("default", service.metadata.name.as_ref().unwrap()).unwrap();
        let subsets = endpoints.subsets.iter().flatten();
        let addresses: BTreeSet<_> =
            subsets.flat_map(|subset| subset.addresses.iter().flatten()).map(|address| address.ip.clone()).collect();
        let slices = store.list::<EndpointSlice>().filter(|slice| owns(service.as_ref(), slice.as_ref()));
        let ready = slices.flat_map(|slice| &slice.endpoints);
        let ready = ready.filter(|endpoint| endpoint.conditions.as_ref().unwrap().ready == Some(true));
        let ready: BTreeSet<_> = ready.flat_map(|endpoint| endpoint.addresses.clone()).collect();
        assert_eq!(addresses, ready);
    }
    let services: BTreeSet<_> = store.list::<Service>().map(|service| service.metadata.name.clone()).collect();
    let endpoints: BTreeSet<_> = store.list::<Endpoints>().map(|endpoints| endpoints.metadata.name.clone()).collect();
    assert_eq!(services, endpoints, "Endpoints go with their Service");
}

/// What holds once everything has started that can.
fn at_rest(harness: &Harness) {
    consistent(harness);
    let account = harness.node.0.lock();
    assert!(account.faults.is_empty(), "{:?}", account.faults);
    let running: BTreeSet<_> = account.running.keys().cloned().collect();
    harness.cluster.read(|store| {
        let ready: BTreeSet<_> =
            store.list::<Pod>().filter(|pod| ready(pod)).map(|pod| pod.metadata.uid.clone().unwrap()).collect();
        assert_eq!(running, ready, "what runs is what is ready");
        assert!(store.list::<Pod>().all(|pod| pod.metadata.deletion_timestamp.is_none()), "what was deleted is gone");
        endpoints_agree(store);
        for deployment in store.list::<Deployment>() {
            let spec = deployment.spec.as_ref().unwrap();
            let status = deployment.status.as_ref().unwrap();
            assert_eq!(status.observed_generation, deployment.metadata.generation);
            if status.ready_replicas == status.replicas {
                assert_eq!(status.updated_replicas.unwrap_or(0), spec.replicas.unwrap());
                assert_eq!(
                    status.replicas.unwrap_or(0),
                    spec.replicas.unwrap(),
                    "all ready, so none is left of before"
                );
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn replicas_owners_and_endpoints_agree(steps in prop::collection::vec(step(), 1..25), seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // Nodes that panic are part of the game: keep them quiet.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|info| if !info.to_string().contains("unwell") { eprintln!("{info}") }));
        runtime.block_on(async {
            let harness = Harness::seeded(seed);
            for step in &steps {
                take(&harness, step).await;
            }
            // Longer than any rollout.
            tokio::time::sleep(Duration::from_mins(3)).await;
            harness.cluster.settled().await;
            at_rest(&harness);
        });
        std::panic::set_hook(hook);
    }
}
