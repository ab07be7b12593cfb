//! Patches, server-side apply and managed fields, as data: `tests/cases/patch/*.yml`.
//!
//! A case is an object and a patch with what comes of it, or a story: steps that create, change or apply, and what is there in
//! between. Objects of a story lack their managed fields, which `owners` shows: `MANAGER OPERATION` and the fields.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::path::Path;

use malha_api::patch::{
    Manager, Patch, PatchError, PatchType, apply_patch, keep_times, server_side_apply, track_update,
};
use malha_cluster::Kind;
use malha_manifest::SourceFile;
use malha_manifest::node::{Limits, parse_yaml};
use serde_json::{Map, Value, json};

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/patch").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (documents, findings) = parse_yaml(&SourceFile::new(file, text), Limits::default());
    assert!(findings.is_empty(), "{findings:?}");
    documents.iter().map(|document| document.root().to_json()).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn kind(case: &Value) -> Kind {
    let kind = if case["kind"].is_null() { "Deployment" } else { text(case, "kind") };
    Kind::of(kind).unwrap()
}

/// The patch of a case: `strategic`, `merge`, `json`, or `text` with a content type.
fn patched(kind: Kind, live: &Value, case: &Value) -> Result<Value, PatchError> {
    let named = [("strategic", PatchType::Strategic), ("merge", PatchType::Merge), ("json", PatchType::Json)];
    let (name, patch_type) = named.into_iter().find(|(name, _)| case.get(name).is_some()).unwrap();
    let patch_type = PatchType::of(kind, patch_type.content_type())?;
    let patch = Patch::read(patch_type, case[name].to_string().as_bytes())?.unwrap();
    apply_patch(kind, live, &patch)
}

fn outcome(result: &Result<Value, PatchError>) -> Value {
    match result {
        Ok(object) => json!({"becomes": object}),
        Err(error) => {
            let mut json = json!({"code": error.code, "reason": error.reason, "message": error.message});
            if !error.causes.is_empty() {
                let causes = error.causes.iter().map(|cause| {
                    assert_eq!(cause.reason, "FieldManagerConflict");
                    json!({"message": cause.message, "field": cause.field})
                });
                json["causes"] = causes.collect();
            }
            json!({"error": json})
        }
    }
}

fn expected(case: &Value) -> Value {
    let name = if case.get("error").is_some() { "error" } else { "becomes" };
    json!({name: case[name]})
}

fn check_patches(file: &str) {
    let wrong: Vec<String> = cases(file)
        .iter()
        .filter_map(|case| {
            let (found, expected) = (outcome(&patched(kind(case), &case["live"], case)), expected(case));
            (found != expected).then(|| format!("{}\n found    {found}\n expected {expected}", text(case, "name")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn json_patches_change_objects_as_the_api_server_does() {
    check_patches("json.yml");
}

#[test]
fn merge_patches_change_objects_as_the_api_server_does() {
    check_patches("merge.yml");
}

#[test]
fn strategic_merge_patches_change_objects_as_the_api_server_does() {
    check_patches("strategic.yml");
}

#[test]
fn what_kubectl_sends_does_what_kubectl_means() {
    check_patches("kubectl.yml");
}

/// The object as its author sees it: without managed fields and without what the server added.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("uid");
    }
    object
}

fn owners(object: &Value) -> Value {
    let mut owners = Map::new();
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let subresource = entry["subresource"].as_str().map_or(String::new(), |name| format!(" of {name}"));
        let name = format!("{} {}{subresource}", text(entry, "manager"), text(entry, "operation"));
        let known = owners.insert(name, entry["fieldsV1"].clone());
        assert_eq!(known, None);
    }
    Value::Object(owners)
}

/// Takes a step of a story and says what is wrong with its outcome.
fn take(kind: Kind, live: &mut Option<Value>, step: &Value, index: usize) -> Option<String> {
    let time = format!("2026-01-01T00:00:{index:02}Z");
    let api_version = if step["version"].is_null() { kind.api_version() } else { text(step, "version") };
    let manager = Manager { name: text(step, "by"), api_version, subresource: text(step, "subresource"), time: &time };
    let result = if let Some(config) = step.get("apply") {
        server_side_apply(kind, live.as_ref(), config, &manager, step["force"] == true)
    } else if let Some(object) = step.get("create").or_else(|| step.get("update")) {
        Ok(object.clone())
    } else {
        patched(kind, live.as_ref().unwrap(), step)
    };
    let mut problems = Vec::new();
    match result {
        Err(error) => {
            let found = outcome(&Err(error));
            if found["error"] != step["error"] {
                problems.push(format!(" step {index}\n  found    {found}\n  expected {}", step["error"]));
            }
        }
        Ok(mut object) => {
            if step.get("apply").is_none() {
                track_update(kind, live.as_ref(), &mut object, &manager);
            }
            if let Some(live) = &live {
                keep_times(live, &mut object);
            }
            let mut expect = |what: &str, found: Value| {
                if let Some(expected) = step.get(what).filter(|expected| **expected != found) {
                    problems.push(format!(" step {index}: {what}\n  found    {found}\n  expected {expected}"));
                }
            };
            if step.get("error").is_some() {
                expect("error", Value::Null);
            }
            expect("changes", (live.as_ref() != Some(&object)).into());
            // What a server adds when it creates.
            object["metadata"]["uid"] = "1".into();
            expect("becomes", bare(&object));
            expect("owners", owners(&object));
            *live = Some(object);
        }
    }
    (!problems.is_empty()).then(|| problems.join("\n"))
}

fn check_stories(file: &str) {
    let mut wrong = Vec::new();
    for case in cases(file) {
        let mut live = None;
        for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            if let Some(problem) = take(kind(&case), &mut live, step, index) {
                wrong.push(format!("{}\n{problem}", text(&case, "name")));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn whoever_changes_a_field_owns_it() {
    check_stories("owners.yml");
}

#[test]
fn server_side_apply_merges_and_refuses_as_the_api_server_does() {
    check_stories("apply.yml");
}
