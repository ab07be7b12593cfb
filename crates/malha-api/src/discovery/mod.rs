//! Discovery: which groups, versions and resources there are, and what can be done with them.
//!
//! Two forms of the same table: a document for each group and version (`/api/v1`, `/apis/apps/v1`), and one for all
//! (`APIGroupDiscoveryList`, kubernetes `apiserver/pkg/endpoints/discovery/aggregated`), which kubectl asks for since 1.26.

mod aggregated;
mod groups;
mod resources;

use malha_cluster::resource::{RESOURCES, Resource};
use serde_json::{Value, json};

use crate::document::{Document, takes_json};

pub(crate) use resources::{CUSTOM_METRICS_GROUP, CUSTOM_METRICS_VERSIONS};
pub use resources::{METRICS, MetricsResource, Subresource, subresources};

/// The version of Kubernetes that malha speaks.
pub const KUBERNETES: (&str, &str) = ("1", "34");

/// A document of discovery.
///
/// `host` is the address that the client asked (`127.0.0.1:6443`), of which `/api` speaks. `None`: there is no such path here.
pub fn get(path: &str, accept: &str, host: &str) -> Option<Result<Document, NotAcceptable>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.strip_prefix('/')?.split('/');
    let parts = (parts.next(), parts.next(), parts.next(), parts.next());
    let value = match parts {
        (Some("api" | "apis"), None, None, None) => {
            let core = path == "/api";
            if let Some(found) = aggregated::negotiate(accept, core) {
                return Some(Ok(found));
            }
            if core { groups::core(host) } else { groups::all() }
        }
        (Some("api"), Some("v1"), None, None) => resources::list("", "v1")?,
        (Some("apis"), Some(group), None, None) => groups::one(group)?,
        (Some("apis"), Some(group), Some(version), None) => resources::list(group, version)?,
        (Some("version"), None, None, None) => version(),
        _ => return None,
    };
    Some(if takes_json(accept) { Ok(Document::json(&value)) } else { Err(NotAcceptable) })
}

/// The client takes none of the forms that the document has: status 406.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

/// `GET /version`.
pub fn version() -> Value {
    let (major, minor) = KUBERNETES;
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.0+malha"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// As Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Every group with its versions, the preferred one first; the core group is not one of them.
pub fn served_groups() -> Vec<(&'static str, &'static [&'static str])> {
    let mut found: Vec<(&str, &[&str])> = Vec::new();
    for Resource { group, versions, .. } in RESOURCES {
        if !group.is_empty() && !found.iter().any(|(known, _)| known == group) {
            found.push((group, versions));
        }
    }
    found.push((resources::METRICS_GROUP, &[resources::METRICS_VERSION]));
    found.push((CUSTOM_METRICS_GROUP, CUSTOM_METRICS_VERSIONS));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Value {
        let document = get(path, "application/json", "127.0.0.1:6443").unwrap_or_else(|| panic!("{path}")).unwrap();
        serde_json::from_slice(&document.body).unwrap()
    }

    #[test]
    fn every_resource_is_listed_in_each_of_its_versions() {
        for resource in RESOURCES {
            for version in resource.versions {
                let path = match resource.group {
                    "" => format!("/api/{version}"),
                    group => format!("/apis/{group}/{version}"),
                };
                let list = found(&path);
                assert_eq!(list["groupVersion"], resource.api_version(version));
                let rows = list["resources"].as_array().unwrap();
                let row = rows.iter().find(|row| row["name"] == resource.plural).unwrap();
                assert_eq!(row["kind"], resource.kind.name());
                assert_eq!(row["namespaced"], resource.kind.namespaced());
                assert_eq!(row["singularName"], resource.singular);
                for sub in resource.subresources {
                    let name = format!("{}/{sub}", resource.plural);
                    assert!(rows.iter().any(|row| row["name"] == name.as_str()), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_row_says_what_a_real_cluster_says() {
        let apps = found("/apis/apps/v1");
        assert_eq!(
            apps["resources"].as_array().unwrap().iter().find(|row| row["name"] == "deployments"),
            Some(&json!({
                "name": "deployments",
                "singularName": "deployment",
                "namespaced": true,
                "kind": "Deployment",
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "shortNames": ["deploy"],
                "categories": ["all"],
            }))
        );
        assert_eq!(
            apps["resources"].as_array().unwrap().iter().find(|row| row["name"] == "deployments/scale"),
            Some(&json!({
                "name": "deployments/scale",
                "singularName": "",
                "namespaced": true,
                "group": "autoscaling",
                "version": "v1",
                "kind": "Scale",
                "verbs": ["get", "patch", "update"],
            }))
        );
        let core = found("/api/v1");
        let namespaces = core["resources"].as_array().unwrap().iter().find(|row| row["name"] == "namespaces").unwrap();
        assert_eq!(namespaces["verbs"], json!(["create", "delete", "get", "list", "patch", "update", "watch"]));
    }

    #[test]
    fn groups_say_which_version_is_preferred() {
        let all = found("/apis");
        assert_eq!(all["kind"], "APIGroupList");
        let istio = all["groups"].as_array().unwrap().iter().find(|group| group["name"] == "networking.istio.io");
        assert_eq!(
            istio.unwrap()["preferredVersion"],
            json!({"groupVersion": "networking.istio.io/v1", "version": "v1"})
        );
        assert_eq!(found("/apis/networking.istio.io")["versions"].as_array().unwrap().len(), 3);
        assert_eq!(found("/apis/metrics.k8s.io/v1beta1")["resources"].as_array().unwrap().len(), 2);
        assert_eq!(found("/api")["versions"], json!(["v1"]));
    }

    #[test]
    fn a_metric_is_below_each_resource_that_it_is_about() {
        let metric = |name: &str, namespaced: bool| {
            json!({
                "name": format!("{name}/istio_requests_per_second"), "singularName": "", "namespaced": namespaced,
                "kind": "MetricValueList", "verbs": ["get"],
            })
        };
        for version in ["v1beta2", "v1beta1"] {
            assert_eq!(
                found(&format!("/apis/custom.metrics.k8s.io/{version}"))["resources"],
                json!([
                    metric("pods", true),
                    metric("services", true),
                    metric("deployments.apps", true),
                    metric("namespaces", false),
                ])
            );
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for path in [
            "/apis/batch",
            "/apis/batch/v1",
            "/apis/apps/v1beta1",
            "/api/v2",
            "/api/v1/pods",
            "/apis/apps/v1/deployments",
            "/other",
        ] {
            assert!(get(path, "", "").is_none(), "{path}");
        }
        assert_eq!(get("/apis", "text/html", ""), Some(Err(NotAcceptable)));
    }

    #[test]
    fn the_version_is_that_of_kubernetes() {
        assert_eq!(found("/version")["gitVersion"], "v1.34.0+malha");
    }

    #[test]
    fn one_document_says_all_to_those_who_ask_for_it() {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let core = get("/api", accept, "").unwrap().unwrap();
        assert_eq!(core.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        let core: Value = serde_json::from_slice(&core.body).unwrap();
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
        let pods = core["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let pods = pods.iter().find(|row| row["resource"] == "pods").unwrap();
        assert_eq!(pods["responseKind"], json!({"group": "", "version": "v1", "kind": "Pod"}));
        assert_eq!(pods["scope"], "Namespaced");
        assert!(pods["subresources"].as_array().unwrap().iter().any(|row| row["subresource"] == "log"));

        let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let all = get("/apis", old, "").unwrap().unwrap();
        assert_eq!(all.content_type, "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList");
        let all: Value = serde_json::from_slice(&all.body).unwrap();
        assert_eq!(all["items"].as_array().unwrap().len(), served_groups().len());
        assert_eq!(get("/apis", "application/json", "").unwrap().unwrap().content_type, "application/json");
    }
}
