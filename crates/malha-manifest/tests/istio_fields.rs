//! Our types of Istio's objects know every field that Istio's own schemas know, and take its samples.
//!
//! `MALHA_CORPORA` names the folder that holds `istio-crds/`, `istio-samples/` and `istio-analyze/`; without it nothing is tested, and
//! that is said.

use std::io::Write as _;
use std::path::PathBuf;

use malha_manifest::{Diagnostic, Input, load, node, parse_manifests};
use node::{Document, Limits, Node, parse_yaml};

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("MALHA_CORPORA").map(PathBuf::from);
    if folder.is_none() {
        // Straight to stderr: the test harness keeps what passing tests print to itself.
        let words = "NOT TESTED: MALHA_CORPORA is not set, so Istio's schemas and samples are not read";
        writeln!(std::io::stderr(), "{words}").expect("stderr takes a line");
    }
    folder
}

/// A text that holds every field of a schema once, in YAML's flow style.
fn example(schema: &Node, field: &str) -> String {
    let kind = schema.get("type").and_then(Node::as_str).unwrap_or("string");
    if let Some(first) = schema.get("enum").and_then(|list| list.items().first()).and_then(Node::as_str) {
        return first.to_owned();
    }
    match kind {
        "object" => {
            let fields = schema.get("properties").map(Node::entries).unwrap_or_default();
            if fields.is_empty() {
                let values = schema.get("additionalProperties").expect("an object has fields or values");
                return format!("{{key: {}}}", example(values, "key"));
            }
            // Fields that exclude each other: the schema has a `oneOf`; the first is enough here, see `alternatives`.
            let excluded = alternatives(schema);
            let shown: Vec<_> = fields
                .iter()
                .filter(|entry| !excluded.iter().skip(1).any(|name| *name == entry.key))
                .filter(|entry| entry.key != "mirror_percent")
                .map(|entry| format!("{}: {}", entry.key, example(&entry.value, &entry.key)))
                .collect();
            format!("{{{}}}", shown.join(", "))
        }
        "array" => format!("[{}]", example(schema.get("items").expect("an array has items"), field)),
        "integer" => "200".to_owned(),
        "number" => "1.5".to_owned(),
        "boolean" => "true".to_owned(),
        _ if schema.get("x-kubernetes-validations").is_some() || field == "timeout" => "2s".to_owned(),
        _ if schema.get("format").is_some() => "AAAA".to_owned(),
        _ if field == "protocol" => "HTTP".to_owned(),
        _ if field == "scheme" => "https".to_owned(),
        _ if field == "allowMethods" => "GET".to_owned(),
        _ => "text".to_owned(),
    }
}

/// Names of fields of which a value has one.
fn alternatives(schema: &Node) -> Vec<String> {
    let choices = schema.get("oneOf").map(Node::items).unwrap_or_default();
    choices
        .iter()
        .flat_map(|choice| choice.get("required").map(Node::items).unwrap_or_default())
        .filter_map(Node::as_str)
        .map(str::to_owned)
        .collect()
}

/// Every field below a schema: its way, and the choice it belongs to.
fn count(schema: &Node) -> usize {
    let below = schema.get("properties").map(Node::entries).unwrap_or_default();
    let inner = schema.get("items").into_iter().chain(schema.get("additionalProperties"));
    below.iter().map(|entry| 1 + count(&entry.value)).sum::<usize>() + inner.map(count).sum::<usize>()
}

/// What is said of an example with only its `spec` from the schema, about types and names.
fn misfits(kind: &str, version: &str, spec: &str) -> Vec<Diagnostic> {
    let text =
        format!("apiVersion: networking.istio.io/{version}\nkind: {kind}\nmetadata: {{name: example}}\nspec: {spec}\n");
    let said = parse_manifests("example.yml", &text).diagnostics;
    let about = [
        "unknown field",
        "expected",
        "not one of the values",
        "more than one",
        "exclude each other",
        "duplicate field",
    ];
    said.into_iter().filter(|one| about.iter().any(|words| one.message.contains(words))).collect()
}

#[test]
fn every_field_of_istios_schemas_is_known() {
    let Some(folder) = corpora() else { return };
    let path = folder.join("istio-crds/crd-all.gen.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let source = malha_manifest::SourceFile::new("crd-all.gen.yaml", text);
    let (documents, diagnostics) = parse_yaml(&source, Limits::default());
    assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
    let mut seen = 0;
    for document in &documents {
        let text = |path: &str| document.get(path).and_then(Node::as_str).unwrap_or_default().to_owned();
        let kind = text("spec.names.kind");
        if !matches!(kind.as_str(), "Gateway" | "VirtualService") {
            continue;
        }
        for (index, version) in document.get("spec.versions").unwrap().items().iter().enumerate() {
            let name = version.get("name").and_then(Node::as_str).unwrap();
            let schema = spec_schema(document, index);
            assert!(count(schema) > 30, "{kind} {name}");
            let spec = example(schema, "spec");
            let said = misfits(&kind, name, &spec);
            assert!(said.is_empty(), "{kind} {name}\n{}", said.iter().map(ToString::to_string).collect::<String>());
            seen += 1;
        }
    }
    assert_eq!(seen, 6, "Gateway and VirtualService in three versions each");
}

fn spec_schema(document: &Document, version: usize) -> &Node {
    let path = format!("spec.versions[{version}].schema.openAPIV3Schema.properties.spec");
    document.get(path.as_str()).expect("a version has a schema")
}

#[test]
fn fields_that_exclude_each_other_are_known_one_by_one() {
    for spec in [
        "{http: [{match: [{uri: {prefix: /}}, {uri: {regex: a}}]}]}",
        "{http: [{redirect: {derivePort: FROM_REQUEST_PORT}}, {redirect: {port: 80}}]}",
        "{http: [{directResponse: {status: 200, body: {bytes: AAAA}}}]}",
        "{http: [{mirror_percent: 3}]}",
        "{http: [{fault: {delay: {exponentialDelay: 2s}, abort: {grpcStatus: UNAVAILABLE}}}, {fault: {abort: {http2Error: a}}}]}",
    ] {
        let said = misfits("VirtualService", "v1", spec);
        assert!(said.is_empty(), "{spec}\n{}", said[0]);
    }
}

#[test]
fn istios_samples_load() {
    let Some(folder) = corpora() else { return };
    let loaded = load(&[Input::File(folder.join("istio-samples"))]);
    let errors: String = loaded.diagnostics.iter().filter(|one| one.is_error()).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{errors}");
    assert!(loaded.objects.len() > 15);
}

#[test]
fn what_istio_analyzes_is_read_without_unknown_fields() {
    let Some(folder) = corpora() else { return };
    let loaded = load(&[Input::File(folder.join("istio-analyze/testdata"))]);
    let unknown: String = (loaded.diagnostics.iter())
        .filter(|one| one.message.contains("unknown field") || one.message.contains("expected"))
        .map(ToString::to_string)
        .collect();
    assert!(unknown.is_empty(), "{unknown}");
}
