//! Claims of storage, and the pods that mount them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use malha_cluster::{Kind, StateMount, Volume};

use crate::node::{Harness, deployment};

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shows}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---";

const MOUNT: &str = "
        volumeMounts: [{name: state, mountPath: /.spin}]
      volumes: [{name: state, persistentVolumeClaim: {claimName: shows}}]";

fn claim(harness: &Harness) -> Option<Arc<PersistentVolumeClaim>> {
    harness.cluster.read(|store| store.get::<PersistentVolumeClaim>("default", "shows").cloned())
}

fn shows() -> Volume {
    Volume::Claim { namespace: "default".into(), name: "shows".into() }
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_claim_and_keeps_it_until_the_pod_is_gone() {
    let harness = Harness::new();
    harness.apply(&deployment("srv", 1, "relay:0.0.1", MOUNT)).await;
    let pods = harness.cluster.pods();
    assert_eq!((pods.len(), pods[0].phase.as_str()), (1, "Pending"));
    let said: Vec<_> = harness.cluster.events().iter().filter_map(|event| event.message.clone()).collect();
    assert!(
        said.iter().any(|message| message
            == "0/1 nodes are available: persistentvolumeclaim \"shows\" not found. preemption: 0/1 nodes are available: \
                1 Preemption is not helpful for scheduling."),
        "{said:?}"
    );

    harness.apply(CLAIM).await;
    let bound = claim(&harness).unwrap();
    let (spec, status) = (bound.spec.clone().unwrap(), bound.status.clone().unwrap());
    assert_eq!(status.phase.as_deref(), Some("Bound"));
    assert_eq!(status.capacity.unwrap()["storage"].0, "1Gi");
    assert_eq!(spec.storage_class_name.as_deref(), Some("standard"));
    assert_eq!(spec.volume_name, Some(format!("pvc-{}", bound.metadata.uid.as_ref().unwrap())));
    assert!(harness.cluster.pods()[0].ready);
    let mounted: Vec<_> = harness.node.0.lock().running.values().map(|pod| pod.state.clone()).collect();
    assert_eq!(mounted, [StateMount::Volume { volume: shows(), path: String::new() }]);
    // The same once more changes nothing.
    harness.apply(CLAIM).await;
    assert_eq!(claim(&harness).unwrap().spec, Some(spec));

    // Deleted while it is in use, it stays until its pod has gone; then nobody can ask for what it held.
    harness.delete(Kind::PersistentVolumeClaim, "shows").await.unwrap();
    assert!(claim(&harness).is_some_and(|claim| claim.metadata.deletion_timestamp.is_some()));
    assert_eq!(harness.node.0.lock().discarded, []);
    harness.delete(Kind::Deployment, "srv").await.unwrap();
    assert!(harness.cluster.pods().is_empty());
    assert_eq!(claim(&harness), None);
    let discarded = harness.node.0.lock().discarded.clone();
    assert!(discarded.contains(&shows()) && matches!(discarded[0], Volume::Pod(_)), "{discarded:?}");
}

#[tokio::test(start_paused = true)]
async fn a_class_that_there_is_not_leaves_a_claim_pending() {
    let harness = Harness::new();
    harness.apply(&CLAIM.replace("spec: {", "spec: {storageClassName: fast, ")).await;
    harness.apply(&deployment("srv", 1, "relay:0.0.1", MOUNT)).await;
    assert_eq!(claim(&harness).unwrap().status.clone().unwrap().phase.as_deref(), Some("Pending"));
    let said: Vec<_> = harness.cluster.events().iter().filter_map(|event| event.message.clone()).collect();
    for want in [
        "storageclass.storage.k8s.io \"fast\" not found",
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 \
         Preemption is not helpful for scheduling.",
    ] {
        assert!(said.iter().any(|message| message == want), "{said:?}");
    }
}
