//! Rollouts in steps, as `kubectl rollout` shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use malha_cluster::{Deletion, Key, Kind, Object, Part, Stored};
use tokio::time::{Instant, sleep};

use crate::node::{Harness, deployment};

fn rolling(replicas: u32, image: &str, surge: &str, unavailable: &str) -> String {
    let strategy =
        format!("  strategy: {{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}}}\n  replicas:");
    deployment("posts", replicas, image, "").replace("  replicas:", &strategy)
}

fn of(harness: &Harness) -> Deployment {
    harness.cluster.read(|store| Deployment::clone(store.get::<Deployment>("default", "posts").unwrap()))
}

fn condition(harness: &Harness, type_: &str) -> DeploymentCondition {
    let conditions = of(harness).status.unwrap().conditions.unwrap();
    conditions.into_iter().find(|condition| condition.type_ == type_).unwrap()
}

fn progress(harness: &Harness) -> (String, String, String) {
    let condition = condition(harness, "Progressing");
    (condition.status, condition.reason.unwrap(), condition.message.unwrap())
}

fn annotation(object: &impl Stored, name: &str) -> Option<String> {
    object.metadata().annotations.as_ref()?.get(&format!("deployment.kubernetes.io/{name}")).cloned()
}

/// Of each set: its image, its revision, its replicas.
fn sets(harness: &Harness) -> Vec<(String, String, i32)> {
    let mut sets: Vec<_> = harness.cluster.read(|store| {
        let row = |set: &std::sync::Arc<ReplicaSet>| {
            let spec = set.spec.clone().unwrap();
            let image = spec.template.unwrap().spec.unwrap().containers[0].image.clone().unwrap();
            (image, annotation(set.as_ref(), "revision").unwrap(), spec.replicas.unwrap())
        };
        store.list::<ReplicaSet>().map(row).collect()
    });
    sets.sort();
    sets
}

/// Changes the Deployment as a user would.
fn change(harness: &Harness, change: impl FnOnce(&mut Deployment)) {
    let mut deployment = of(harness);
    change(&mut deployment);
    harness.cluster.write(|registry| registry.update(deployment.into_object(), Part::Whole, false)).unwrap();
}

fn events(harness: &Harness, reason: &str) -> Vec<String> {
    let events = harness.cluster.events().into_iter();
    events.filter(|event| event.reason.as_deref() == Some(reason)).filter_map(|event| event.message.clone()).collect()
}

/// At every version of the store since `from`: pods that are there and not on their way out, and those that are ready.
fn counts(harness: &Harness, from: u64) -> Vec<(usize, usize)> {
    harness.cluster.read(|store| {
        let mut pods: BTreeMap<Key, bool> = BTreeMap::new();
        let mut counts = Vec::new();
        for change in store.since(0).unwrap() {
            if let Object::Pod(pod) = &change.object {
                let gone =
                    change.kind == malha_cluster::ChangeKind::Deleted || pod.metadata.deletion_timestamp.is_some();
                if gone {
                    pods.remove(&change.object.key());
                } else {
                    pods.insert(change.object.key(), ready(pod));
                }
            }
            if change.version > from {
                counts.push((pods.len(), pods.values().filter(|ready| **ready).count()));
            }
        }
        counts
    })
}

fn ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_stays_between_its_bounds_whatever_they_are() {
    let kinds = ["0", "1", "2", "4", "25%", "50%", "100%"];
    let pods = |text: &str, up: bool| -> usize {
        let percent = text.strip_suffix('%').map(|percent| percent.parse::<usize>().unwrap() * 4);
        percent.map_or_else(|| text.parse().unwrap(), |four| if up { four.div_ceil(100) } else { four / 100 })
    };
    for surge in kinds {
        for unavailable in kinds {
            if pods(surge, true) == 0 && pods(unavailable, false) == 0 {
                // The API refuses two zeros.
                continue;
            }
            let harness = Harness::new();
            harness.apply(&rolling(4, "workshop:1", surge, unavailable)).await;
            let from = harness.cluster.read(malha_cluster::Store::version);
            harness.apply(&rolling(4, "slow:2", surge, unavailable)).await;
            let counts = counts(&harness, from);
            let (most, least) = (4 + pods(surge, true), 4 - pods(unavailable, false).min(4));
            assert!(counts.iter().all(|(all, _)| *all <= most), "{surge} {unavailable}: more than {most}: {counts:?}");
            assert!(
                counts.iter().all(|(_, ready)| *ready >= least),
                "{surge} {unavailable}: fewer than {least}: {counts:?}"
            );
            assert!(
                harness.cluster.pods().iter().all(|pod| pod.image == "slow:2" && pod.ready),
                "{surge} {unavailable}"
            );
            assert_eq!(harness.cluster.pods().len(), 4);
            let status = of(&harness).status.unwrap();
            assert_eq!(
                (status.replicas, status.updated_replicas, status.available_replicas),
                (Some(4), Some(4), Some(4))
            );
            assert_eq!(progress(&harness).1, "NewReplicaSetAvailable");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_says_what_it_does_in_the_words_of_kubernetes() {
    let harness = Harness::new();
    harness.apply(&rolling(2, "workshop:1", "1", "0")).await;
    let first = harness.cluster.read(|store| store.list::<ReplicaSet>().next().unwrap().metadata.name.clone().unwrap());
    let done = |set: &str| {
        (
            "True".to_owned(),
            "NewReplicaSetAvailable".to_owned(),
            format!("ReplicaSet \"{set}\" has successfully progressed."),
        )
    };
    assert_eq!(progress(&harness), done(&first));
    let available = condition(&harness, "Available");
    assert_eq!(available.reason.as_deref(), Some("MinimumReplicasAvailable"));
    assert_eq!(available.message.as_deref(), Some("Deployment has minimum availability."));
    assert_eq!(events(&harness, "ScalingReplicaSet"), [format!("Scaled up replica set {first} from 0 to 2")]);

    harness.apply(&rolling(2, "workshop:2", "1", "0")).await;
    let second = harness.cluster.read(|store| {
        let mut names = store.list::<ReplicaSet>().filter_map(|set| set.metadata.name.clone());
        names.find(|name| *name != first).unwrap()
    });
    assert_eq!(progress(&harness), done(&second));
    let mut told = events(&harness, "ScalingReplicaSet");
    told.sort();
    let mut want = vec![
        format!("Scaled up replica set {first} from 0 to 2"),
        format!("Scaled up replica set {second} from 0 to 1"),
        format!("Scaled down replica set {first} from 2 to 1"),
        format!("Scaled up replica set {second} from 1 to 2"),
        format!("Scaled down replica set {first} from 1 to 0"),
    ];
    want.sort();
    assert_eq!(told, want);
    assert_eq!(annotation(&of(&harness), "revision").as_deref(), Some("2"));
    let sizes = harness.cluster.read(|store| {
        let set = store.get::<ReplicaSet>("default", &second).unwrap().clone();
        ["desired-replicas", "max-replicas"].map(|name| annotation(set.as_ref(), name).unwrap())
    });
    assert_eq!(sizes, ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn going_back_to_a_template_gives_its_set_a_new_revision() {
    let harness = Harness::new();
    for image in ["workshop:1", "workshop:2", "workshop:3"] {
        harness.apply(&rolling(2, image, "1", "0")).await;
    }
    let row = |image: &str, revision: &str, replicas| (image.to_owned(), revision.to_owned(), replicas);
    assert_eq!(sets(&harness), [row("workshop:1", "1", 0), row("workshop:2", "2", 0), row("workshop:3", "3", 2)]);
    // What `kubectl rollout undo --to-revision=1` patches.
    change(&harness, |deployment| {
        deployment.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers[0].image =
            Some("workshop:1".into());
    });
    harness.cluster.settled().await;
    assert_eq!(sets(&harness), [row("workshop:1", "4", 2), row("workshop:2", "2", 0), row("workshop:3", "3", 0)]);
    let history = harness
        .cluster
        .read(|store| store.list::<ReplicaSet>().find_map(|set| annotation(set.as_ref(), "revision-history")).unwrap());
    assert_eq!(history, "1");
    assert_eq!(annotation(&of(&harness), "revision").as_deref(), Some("4"));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_does_not_come_along_says_so_after_its_deadline() {
    let harness = Harness::new();
    let with_deadline =
        |image: &str| rolling(2, image, "1", "0").replace("  replicas:", "  progressDeadlineSeconds: 60\n  replicas:");
    harness.apply(&with_deadline("workshop:1")).await;
    harness.apply(&with_deadline("missing:2")).await;
    assert_eq!(progress(&harness).1, "ReplicaSetUpdated");
    sleep(Duration::from_secs(55)).await;
    assert_eq!(progress(&harness).1, "ReplicaSetUpdated");
    sleep(Duration::from_secs(10)).await;
    let (status, reason, message) = progress(&harness);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ProgressDeadlineExceeded"));
    assert!(
        message.starts_with("ReplicaSet \"posts-") && message.ends_with("\" has timed out progressing."),
        "{message}"
    );
    assert_eq!(of(&harness).status.unwrap().available_replicas, Some(2), "the old ones serve on");
    harness.apply(&with_deadline("workshop:3")).await;
    assert_eq!(progress(&harness).1, "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_the_deadline_and_resuming_goes_on() {
    let harness = Harness::new();
    harness.apply(&rolling(2, "workshop:1", "1", "0")).await;
    change(&harness, |deployment| deployment.spec.as_mut().unwrap().paused = Some(true));
    let paused = ("Unknown".to_owned(), "DeploymentPaused".to_owned(), "Deployment is paused".to_owned());
    assert_eq!(progress(&harness), paused);
    harness.apply(&rolling(2, "workshop:2", "1", "0").replace("  replicas:", "  paused: true\n  replicas:")).await;
    assert_eq!(sets(&harness).len(), 1);
    change(&harness, |deployment| deployment.spec.as_mut().unwrap().paused = None);
    harness.cluster.settled().await;
    assert_eq!(sets(&harness).len(), 2);
    assert_eq!(progress(&harness).1, "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn another_size_in_the_middle_of_a_rollout_is_shared_out() {
    let harness = Harness::new();
    harness.apply(&rolling(10, "workshop:1", "3", "2")).await;
    harness.apply(&rolling(10, "missing:2", "3", "2")).await;
    let sizes = |harness: &Harness| -> Vec<i32> { sets(harness).into_iter().map(|(.., replicas)| replicas).collect() };
    // As in Kubernetes' documentation, "Proportional scaling": 8 and 5 become 11 and 7.
    assert_eq!(sizes(&harness), [5, 8]);
    change(&harness, |deployment| deployment.spec.as_mut().unwrap().replicas = Some(15));
    harness.cluster.settled().await;
    assert_eq!(sizes(&harness), [7, 11]);
    change(&harness, |deployment| deployment.spec.as_mut().unwrap().replicas = Some(0));
    harness.cluster.settled().await;
    assert_eq!(sizes(&harness), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn pods_are_available_only_after_their_time() {
    let harness = Harness::new();
    let slowly = |image: &str| rolling(2, image, "1", "0").replace("  replicas:", "  minReadySeconds: 30\n  replicas:");
    let start = Instant::now();
    harness.apply(&slowly("workshop:1")).await;
    let counts = |harness: &Harness| {
        let status = of(harness).status.unwrap();
        (status.ready_replicas, status.available_replicas)
    };
    assert_eq!(counts(&harness), (Some(2), None));
    assert_eq!(condition(&harness, "Available").reason.as_deref(), Some("MinimumReplicasUnavailable"));
    sleep(Duration::from_secs(31)).await;
    assert_eq!(counts(&harness), (Some(2), Some(2)));
    harness.apply_now(&slowly("workshop:2"));
    while progress(&harness).1 != "NewReplicaSetAvailable" || sets(&harness)[0].2 != 0 {
        sleep(Duration::from_secs(1)).await;
        assert!(start.elapsed() < Duration::from_mins(2), "{:?}", sets(&harness));
    }
    assert!(start.elapsed() >= Duration::from_secs(90), "one after the other: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn recreate_waits_for_the_last_old_pod_to_be_gone() {
    let harness = Harness::new();
    let sleeping = "        lifecycle: {preStop: {sleep: {seconds: 5}}}";
    let recreate = |image: &str| {
        let yaml = deployment("posts", 2, image, sleeping);
        yaml.replace("  replicas:", "  strategy: {type: Recreate}\n  replicas:")
    };
    harness.apply(&recreate("workshop:1")).await;
    harness.apply_now(&recreate("workshop:2"));
    sleep(Duration::from_secs(4)).await;
    assert!(harness.cluster.pods().iter().all(|pod| pod.image == "workshop:1"));
    sleep(Duration::from_secs(2)).await;
    let pods = harness.cluster.pods();
    assert!(pods.len() == 2 && pods.iter().all(|pod| pod.image == "workshop:2" && pod.ready), "{pods:?}");
}

#[tokio::test(start_paused = true)]
async fn orphans_are_adopted_and_what_is_not_selected_any_more_is_let_go() {
    let harness = Harness::new();
    harness.apply(&rolling(2, "workshop:1", "1", "0")).await;
    let uids = |harness: &Harness| -> Vec<String> {
        let mut uids: Vec<String> =
            harness.cluster.read(|store| store.list::<Pod>().filter_map(|pod| pod.metadata.uid.clone()).collect());
        uids.sort();
        uids
    };
    let before = uids(&harness);
    let orphan = Deletion { propagation: malha_cluster::Propagation::Orphan, ..Deletion::default() };
    let key = Key::new(Kind::Deployment, "default", "posts");
    harness.cluster.write(|registry| registry.delete(&key, &orphan)).unwrap();
    harness.cluster.settled().await;
    assert_eq!(uids(&harness), before);
    harness.apply(&rolling(2, "workshop:1", "1", "0")).await;
    assert_eq!(uids(&harness), before, "the same pods serve on");
    assert_eq!(sets(&harness).len(), 1);

    // A pod that is taken out of its set for a closer look is replaced.
    let mut pod = harness.cluster.read(|store| Pod::clone(store.list::<Pod>().next().unwrap()));
    pod.metadata.labels.as_mut().unwrap().insert("app".into(), "debug".into());
    harness.cluster.write(|registry| registry.update(pod.clone().into_object(), Part::Whole, false)).unwrap();
    harness.cluster.settled().await;
    assert_eq!(uids(&harness).len(), 3);
    let name = pod.metadata.name.unwrap();
    let owners = |harness: &Harness| {
        harness.cluster.read(|store| {
            let owners = store.get::<Pod>("default", &name).unwrap().metadata.owner_references.clone();
            owners.map_or(0, |owners| owners.len())
        })
    };
    assert_eq!(owners(&harness), 0);
    // Put back, one is too many.
    let mut pod = harness.cluster.read(|store| Pod::clone(store.get::<Pod>("default", &name).unwrap()));
    pod.metadata.labels.as_mut().unwrap().insert("app".into(), "posts".into());
    harness.cluster.write(|registry| registry.update(pod.into_object(), Part::Whole, false)).unwrap();
    harness.cluster.settled().await;
    assert_eq!(uids(&harness).len(), 2);
}
