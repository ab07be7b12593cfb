//! The API described by itself: `OpenAPI` v3, a document for each group and version, and v2, one for all.
//!
//! Who asks for what (kubectl, by version):
//!
//! * v3: `kubectl explain` (1.27 and later), the check whether `fieldValidation` is known (`query_param_verifier_v3.go`), and
//!   merge keys of `kubectl apply` and `kubectl diff`.
//! * v2 as protobuf: `apply`, `create` and `replace` of 1.28 and earlier fetch it before they do anything, and fail without
//!   it; since 1.29 it is fetched only where v3 does not help.
//! * v2 as JSON: people, and generators of clients.

mod operations;
mod paths;
mod proto;
mod v2;

use std::sync::LazyLock;

use malha_cluster::resource::RESOURCES;
use serde_json::{Map, Value, json};

use crate::discovery::{KUBERNETES, METRICS, served_groups};
use crate::document::{Document, accepted, takes_json};
use crate::schema::{DELETE_OPTIONS, EVICTION, SCALE, STATUS, metrics_name, name_of, needed_by};

/// The types under which clients ask for `OpenAPI` v2 in protobuf. Answers have the second: the first is no media type.
const PROTO_V2: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This. `immutable`: whoever knows its hash may keep it for ever.
    Document {
        /// The document.
        document: Document,
        /// The client named the right hash.
        immutable: bool,
    },
    /// 301: the client named an old hash.
    Moved(String),
    /// 406.
    NotAcceptable,
}

/// A document of `OpenAPI`. `hash` is the query parameter of that name. `None`: there is no such path here.
pub fn get(path: &str, hash: Option<&str>, accept: &str) -> Option<Answer> {
    if path == "/openapi/v2" {
        return Some(second(accept));
    }
    let below = path.strip_prefix("/openapi/v3")?;
    let (document, moved) = if below.is_empty() || below == "/" {
        (&THIRD.index, None)
    } else {
        let name = below.strip_prefix('/')?;
        let (name, document) = THIRD.parts.iter().find(|(known, _)| known == name)?;
        (document, hash.filter(|hash| *hash != document.hash).map(|_| url(name, document)))
    };
    if let Some(url) = moved {
        return Some(Answer::Moved(url));
    }
    if !takes_json(accept) {
        return Some(Answer::NotAcceptable);
    }
    Some(Answer::Document { document: document.clone(), immutable: hash.is_some_and(|hash| hash == document.hash) })
}

fn second(accept: &str) -> Answer {
    static JSON: LazyLock<Document> = LazyLock::new(|| Document::json(&v2::document()));
    static PROTO: LazyLock<Document> = LazyLock::new(|| Document::new(PROTO_V2[1], proto::document(&v2::document())));
    // The first type that is known: kubectl asks for protobuf alone.
    let proto = accepted(accept)
        .find(|(kind, _)| PROTO_V2.contains(kind) || takes_json(kind))
        .is_some_and(|(kind, _)| PROTO_V2.contains(&kind));
    let document = if proto {
        &PROTO
    } else if takes_json(accept) {
        &JSON
    } else {
        return Answer::NotAcceptable;
    };
    Answer::Document { document: (*document).clone(), immutable: false }
}

/// All documents of v3.
struct Third {
    index: Document,
    parts: Vec<(String, Document)>,
}

static THIRD: LazyLock<Third> = LazyLock::new(|| {
    let parts: Vec<(String, Document)> = group_versions()
        .into_iter()
        .map(|(group, version)| {
            let name = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            (name, Document::json(&part(group, version)))
        })
        .collect();
    let paths: Map<String, Value> = parts
        .iter()
        .map(|(name, document)| (name.clone(), json!({"serverRelativeURL": url(name, document)})))
        .collect();
    Third { index: Document::json(&json!({"paths": paths})), parts }
});

fn url(name: &str, document: &Document) -> String {
    format!("/openapi/v3/{name}?hash={}", document.hash)
}

/// Every group with each of its versions, the core group first.
fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("", "v1")];
    for (group, versions) in served_groups() {
        all.extend(versions.iter().map(|version| (group, *version)));
    }
    all
}

fn info() -> Value {
    let (major, minor) = KUBERNETES;
    json!({"title": "Kubernetes", "version": format!("v{major}.{minor}.0+malha")})
}

fn part(group: &str, version: &str) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths::of(group, version),
        "components": {"schemas": needed_by(&roots(group, version))},
    })
}

/// The components that a group's paths speak of.
fn roots(group: &str, version: &str) -> Vec<String> {
    let mut roots = vec![DELETE_OPTIONS.to_owned(), STATUS.to_owned()];
    for resource in RESOURCES {
        if resource.group == group && resource.versions.contains(&version) {
            let name = name_of(resource, version);
            roots.push(format!("{name}List"));
            roots.push(name);
            if resource.subresources.contains(&"scale") {
                roots.push(SCALE.to_owned());
            }
            if resource.subresources.contains(&"eviction") {
                roots.push(EVICTION.to_owned());
            }
        }
    }
    if group == "metrics.k8s.io" {
        for metrics in METRICS {
            roots.push(metrics_name(metrics.kind));
            roots.push(metrics_name(&format!("{}List", metrics.kind)));
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Document {
        match get(path, None, "application/json") {
            Some(Answer::Document { document, .. }) => document,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn read(path: &str) -> Value {
        serde_json::from_slice(&found(path).body).unwrap()
    }

    #[test]
    fn the_index_leads_to_every_document() {
        let index = read("/openapi/v3");
        let paths = index["paths"].as_object().unwrap();
        assert_eq!(paths.len(), group_versions().len());
        for (name, entry) in paths {
            let url = entry["serverRelativeURL"].as_str().unwrap();
            let (path, hash) = url.split_once("?hash=").unwrap();
            assert_eq!(path, format!("/openapi/v3/{name}"));
            let Some(Answer::Document { document, immutable: true }) = get(path, Some(hash), "*/*") else {
                panic!("{url}")
            };
            assert_eq!(document.hash, hash);
            assert_eq!(get(path, Some("OLD"), "*/*"), Some(Answer::Moved(url.to_owned())));
        }
    }

    #[test]
    fn kubectl_finds_what_it_looks_for_at_the_patch_of_every_kind() {
        for resource in RESOURCES {
            for version in resource.versions {
                let name = match resource.group {
                    "" => format!("/openapi/v3/api/{version}"),
                    group => format!("/openapi/v3/apis/{group}/{version}"),
                };
                let document = read(&name);
                let kind = json!({"group": resource.group, "version": version, "kind": resource.kind.name()});
                let patches: Vec<&Value> = document["paths"]
                    .as_object()
                    .unwrap()
                    .values()
                    .filter_map(|path| path.get("patch"))
                    .filter(|patch| patch["x-kubernetes-group-version-kind"] == kind)
                    .collect();
                assert!(!patches.is_empty(), "{kind}");
                for patch in patches {
                    let names: Vec<&str> =
                        patch["parameters"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
                    for wanted in ["dryRun", "fieldManager", "fieldValidation", "force"] {
                        assert!(names.contains(&wanted), "{kind}: {wanted}");
                    }
                    let body = &patch["requestBody"]["content"];
                    assert_eq!(
                        body.get("application/strategic-merge-patch+json").is_some(),
                        !resource.group.ends_with(".istio.io"),
                        "{kind}"
                    );
                }
                // What kubectl explain looks for: the component of the kind that a get of the resource names.
                let schemas = document["components"]["schemas"].as_object().unwrap();
                let marks: Vec<&Value> = schemas
                    .values()
                    .filter_map(|schema| schema.get("x-kubernetes-group-version-kind"))
                    .filter(|marks| marks.as_array().unwrap().contains(&kind))
                    .collect();
                assert_eq!(marks.len(), 1, "{kind}");
            }
        }
    }

    #[test]
    fn every_reference_of_a_document_is_in_it() {
        fn look(name: &str, value: &Value, prefix: &str, known: &Map<String, Value>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        assert!(
                            target.strip_prefix(prefix).is_some_and(|one| known.contains_key(one)),
                            "{name}: {target}"
                        );
                    }
                    fields.values().for_each(|value| look(name, value, prefix, known));
                }
                Value::Array(items) => items.iter().for_each(|value| look(name, value, prefix, known)),
                _ => {}
            }
        }
        for (name, document) in &THIRD.parts {
            let document: Value = serde_json::from_slice(&document.body).unwrap();
            look(name, &document, "#/components/schemas/", document["components"]["schemas"].as_object().unwrap());
        }
        let second = read("/openapi/v2");
        look("v2", &second, "#/definitions/", second["definitions"].as_object().unwrap());
    }

    #[test]
    fn v2_is_json_or_protobuf_as_the_client_asks() {
        assert_eq!(read("/openapi/v2")["swagger"], "2.0");
        for accept in PROTO_V2 {
            let Some(Answer::Document { document, .. }) = get("/openapi/v2", None, accept) else { panic!("{accept}") };
            assert_eq!(document.content_type, PROTO_V2[1]);
            assert_eq!(&document.body[..5], b"\x0a\x032.0");
        }
        assert_eq!(get("/openapi/v2", None, "text/html"), Some(Answer::NotAcceptable));
        assert_eq!(get("/openapi/v3/apis/batch/v1", None, ""), None);
        assert_eq!(get("/openapi/v4", None, ""), None);
    }
}
