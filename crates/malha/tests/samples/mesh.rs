//! A mesh made of some of the samples' files, and requests in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use malha_cluster::Cluster;
use malha_manifest::{Diagnostic, parse_manifests};
use malha_mesh::{Connection, Mesh, gateway};
use malha_routing::Workload;
use malha_runtime::{Body, Caller, Outbound};
use malha_world::World;

use crate::pods::StandIns;

/// The folder of the samples, or `None`, which is then said.
pub(crate) fn samples() -> Option<PathBuf> {
    let folder = std::env::var_os("MALHA_CORPORA").map(|corpora| PathBuf::from(corpora).join("istio-samples"));
    if folder.is_none() {
        // Straight to stderr: the test harness keeps what passing tests print to itself.
        let words = "NOT CHECKED: MALHA_CORPORA is not set, so Istio's samples are not routed (CONTRIBUTING.md)";
        writeln!(std::io::stderr(), "{words}").expect("stderr takes a line");
    }
    folder
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Without the blanks at its end.
    pub(crate) body: String,
}

/// A mesh that runs.
pub(crate) struct Sample {
    mesh: Mesh,
    _cluster: Cluster<StandIns>,
}

impl Sample {
    /// Applies files of the samples and other objects, and waits until their pods are ready. Nothing of them may be
    /// wrong, or not be carried out, but for subsets that no file defines.
    pub(crate) async fn start(files: &[&str], more: &str) -> Option<Self> {
        let folder = samples()?;
        let world = World::simulated(1_700_000_000, 1);
        let mesh = Mesh::new(world.clone());
        let published = mesh.clone();
        let node = StandIns { mesh: mesh.clone(), world: world.clone() };
        let cluster = Cluster::new(node, &world, move |snapshot| published.publish(snapshot));
        let mut objects = Vec::new();
        for (name, text) in files
            .iter()
            .map(|name| (*name, fs::read_to_string(folder.join(name)).unwrap()))
            .chain([("more", more.to_owned())])
        {
            // malha runs Spin applications: that, and nothing else, a pod has to say for it.
            let text = text.replace("    spec:\n      ", "    spec:\n      runtimeClassName: wasmtime-spin-v2\n      ");
            let loaded = parse_manifests(name, &text);
            assert!(!loaded.diagnostics.iter().any(Diagnostic::is_error), "{name}: {:#?}", loaded.diagnostics);
            objects.extend(loaded.objects.into_iter().map(Into::into));
        }
        for applied in cluster.apply(objects) {
            applied.unwrap();
        }
        cluster.settled().await;
        // Some of the files speak of versions that others of them define.
        let findings: Vec<_> = cluster.findings().into_iter().filter(|it| !it.message.contains("subset")).collect();
        assert!(findings.is_empty(), "{files:?}: {findings:#?}");
        let unready: Vec<_> = cluster.pods().into_iter().filter(|pod| !pod.ready).collect();
        assert!(unready.is_empty(), "{unready:#?}");
        Some(Self { mesh, _cluster: cluster })
    }

    /// Asks as a client of the gateway does.
    pub(crate) async fn gateway(&self, port: u16, path: &str) -> Answer {
        self.gateway_of("bookinfo.example.com", port, path).await
    }

    /// Asks for some host.
    pub(crate) async fn gateway_of(&self, host: &str, port: u16, path: &str) -> Answer {
        let client = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50_000));
        let connection = Connection { client, local: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: None };
        let request = Request::get(path).header("host", host).body(Body::empty()).unwrap();
        read(self.mesh.enter(&gateway(port), request, &connection).await.unwrap()).await
    }

    /// Asks as a pod does, with the name of a user as bookinfo's services hand it on.
    pub(crate) async fn pod(&self, url: &str, user: Option<&str>) -> Answer {
        let workload = Workload {
            namespace: "default".into(),
            service_account: "bookinfo-productpage".into(),
            name: "productpage-v1".into(),
            labels: [("app", "productpage"), ("version", "v1")].map(|(key, value)| (key.into(), value.into())).into(),
        };
        let sidecar = self.mesh.sidecar(Arc::new(workload), IpAddr::V4(Ipv4Addr::new(10, 244, 9, 9)));
        let mut request = Request::get(url);
        if let Some(user) = user {
            request = request.header("end-user", user);
        }
        let caller = Caller { pod: "productpage-v1".into(), namespace: "default".into(), depth: 1 };
        read(sidecar.call(caller, request.body(Body::empty()).unwrap()).await.unwrap()).await
    }

    /// How often each answer comes.
    pub(crate) async fn pod_often(&self, url: &str, user: Option<&str>, times: usize) -> BTreeMap<Answer, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            *counts.entry(self.pod(url, user).await).or_default() += 1;
        }
        counts
    }
}

async fn read(response: Response<Body>) -> Answer {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, body: str::from_utf8(&body).unwrap().trim_end().to_owned() }
}
