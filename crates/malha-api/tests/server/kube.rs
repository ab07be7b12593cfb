//! A second client: the crate `kube`, its lists, watches and log streams.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Config, ResourceExt as _};
use malha_world::World;
use serde_json::json;
use tokio::net::TcpListener;

use super::harness::Harness;
use super::verbs::{config, deployment};

async fn connected() -> (Harness, malha_api::Running, Client) {
    let harness = Harness::of(World::real());
    let running = harness.api.serve(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&harness.credentials.kubeconfig(running.address())).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    (harness, running, Client::try_from(config).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_made_changed_and_listed_in_pages() {
    let (_harness, running, client) = connected().await;
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for name in ["a", "b", "c"] {
        let object: ConfigMap = serde_json::from_value(config(name, "1")).unwrap();
        maps.create(&PostParams::default(), &object).await.unwrap();
    }
    let page = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((page.items.len(), page.metadata.remaining_item_count), (2, Some(1)));
    let next = maps.list(&ListParams::default().continue_token(&page.metadata.continue_.unwrap())).await.unwrap();
    assert_eq!(next.items[0].name_any(), "c");
    let apply = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"other": "2"}});
    let applied = maps.patch("a", &PatchParams::apply("me"), &Patch::Apply(&apply)).await.unwrap();
    assert_eq!(applied.data.unwrap().len(), 2);
    let meta = maps.get_metadata("a").await.unwrap();
    assert_eq!(meta.metadata.managed_fields.unwrap().len(), 2);
    let error = maps.get("nosuch").await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound"));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
    running.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_what_comes_and_goes_however_they_begin() {
    for settings in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let (_harness, running, client) = connected().await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let create = async |name: &str| {
            let object: ConfigMap = serde_json::from_value(config(name, "1")).unwrap();
            maps.create(&PostParams::default(), &object).await.unwrap();
        };
        create("a").await;
        let mut events = std::pin::pin!(watch(maps.clone(), settings.clone().timeout(10)));
        let mut next = async || {
            let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap().unwrap();
            match event {
                Event::Init => "init".to_owned(),
                Event::InitApply(object) => format!("first {}", object.name_any()),
                Event::InitDone => "done".to_owned(),
                Event::Apply(object) => format!("applied {}", object.name_any()),
                Event::Delete(object) => format!("deleted {}", object.name_any()),
            }
        };
        assert_eq!([next().await, next().await, next().await], ["init", "first a", "done"]);
        create("b").await;
        assert_eq!(next().await, "applied b");
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        assert_eq!(next().await, "deleted a");
        running.drain(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployments_pods_are_watched_and_their_logs_followed() {
    let (harness, running, client) = connected().await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let object: Deployment = serde_json::from_value(deployment("a")).unwrap();
    deployments.create(&PostParams::default(), &object).await.unwrap();
    let settings = watcher::Config::default().labels("app=a");
    let mut ready = std::pin::pin!(watch(pods.clone(), settings).applied_objects().try_filter(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        std::future::ready(phase == Some("Running"))
    }));
    let pod = tokio::time::timeout(Duration::from_secs(20), ready.next()).await.unwrap().unwrap().unwrap().name_any();
    let lines = harness.node.0.lock()[&pod].clone();
    let now = harness.world.clock.now();
    lines.write(now, "before");
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut log = pods.log_stream(&pod, &follow).await.unwrap().lines();
    assert_eq!(log.next().await.unwrap().unwrap(), "before");
    lines.write(now, "after");
    assert_eq!(log.next().await.unwrap().unwrap(), "after");
    let scale = deployments.get_scale("a").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(1));
    let to = Patch::Merge(json!({"spec": {"replicas": 0}}));
    deployments.patch_scale("a", &PatchParams::default(), &to).await.unwrap();
    let rest: BTreeSet<_> = log.try_collect().await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    running.drain(Duration::from_secs(5)).await;
}
