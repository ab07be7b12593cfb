//! What the requests go through: Envoy on one side, malha on the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use serde_json::Value;

use crate::case::Case;
use crate::manifests;
use crate::upstream::Upstreams;

/// A mesh that runs, with the manifests of many cases, each apart from the others.
pub trait Side {
    /// Where the requests of a case go in that are for a port of its manifests.
    fn entrance(&self, case: &str, port: u16) -> Option<SocketAddr>;

    /// The response flags that its access log has so far, by case and by what names a request: its tag, or the id that its
    /// upstreams saw.
    fn flags(&self) -> Result<BTreeMap<(String, String), String>>;
}

/// A case with its own upstreams, which listen, and the objects that say where.
pub struct Prepared<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its upstreams.
    pub upstreams: Upstreams,
    /// Its Istio objects.
    pub objects: Vec<Value>,
}

impl<'a> Prepared<'a> {
    /// Starts the upstreams of a case. Each side needs its own: scripts advance with what they answer.
    pub async fn new(case: &'a Case) -> Result<Self> {
        let upstreams = Upstreams::start(case).await?;
        let objects = manifests::objects(case, &upstreams.addresses)?;
        Ok(Self { case, upstreams, objects })
    }

    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// Where each upstream listens.
    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.upstreams.addresses
    }
}
