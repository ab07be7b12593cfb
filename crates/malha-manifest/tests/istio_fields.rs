//! Our types of Istio's objects know every field that Istio's own schemas know, and take its samples.
//!
//! `MALHA_CORPORA` names the folder that holds `istio-crds/`, `istio-samples/` and `istio-analyze/`; without it nothing is tested, and
//! that is said.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use malha_manifest::support::{self, Support};
use malha_manifest::{Diagnostic, Input, check_references, load, node, parse_manifests};
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

/// The kinds that malha carries out, with the versions of each.
const KINDS: [(&str, usize); 8] = [
    ("Gateway", 3),
    ("VirtualService", 3),
    ("DestinationRule", 3),
    ("ServiceEntry", 3),
    ("Sidecar", 3),
    ("PeerAuthentication", 2),
    ("RequestAuthentication", 2),
    ("AuthorizationPolicy", 2),
];

/// A text that holds every field of a schema once, in YAML's flow style. Of fields that exclude each other it has the one
/// of that number, or the last.
fn example(schema: &Node, field: &str, choice: usize) -> String {
    let kind = schema.get("type").and_then(Node::as_str).unwrap_or("string");
    if let Some(first) = schema.get("enum").and_then(|list| list.items().first()).and_then(Node::as_str) {
        return first.to_owned();
    }
    match kind {
        "object" => {
            let fields = schema.get("properties").map(Node::entries).unwrap_or_default();
            if fields.is_empty() {
                let values = schema.get("additionalProperties").expect("an object has fields or values");
                return format!("{{key: {}}}", example(values, "key", choice));
            }
            let left_out: Vec<_> = alternatives(schema)
                .into_iter()
                .flat_map(|mut group| {
                    group.remove(choice.min(group.len() - 1));
                    group
                })
                .collect();
            let shown: Vec<_> = fields
                .iter()
                .filter(|entry| !left_out.contains(&entry.key))
                // Other spellings of a field that is there.
                .filter(|entry| !matches!(entry.key.as_str(), "mirror_percent" | "jwks_uri"))
                .map(|entry| format!("{}: {}", entry.key, example(&entry.value, &entry.key, choice)))
                .collect();
            let text = format!("{{{}}}", shown.join(", "));
            if field == "tunnel" { text.replace("protocol: HTTP", "protocol: CONNECT") } else { text }
        }
        "array" => format!("[{}]", example(schema.get("items").expect("an array has items"), field, choice)),
        "integer" => "200".to_owned(),
        "number" => "1.5".to_owned(),
        "boolean" => "true".to_owned(),
        _ if is_duration(schema, field) => "2s".to_owned(),
        _ if schema.get("format").is_some() => "AAAA".to_owned(),
        _ => match field {
            "protocol" => "HTTP",
            "scheme" => "https",
            "allowMethods" => "GET",
            "jwks" => "'{\"keys\": []}'",
            _ => "text",
        }
        .to_owned(),
    }
}

/// Not all durations say so in the schema.
fn is_duration(schema: &Node, field: &str) -> bool {
    let rules = schema.get("x-kubernetes-validations").map(Node::items).unwrap_or_default();
    let said = rules.iter().filter_map(|rule| rule.get("rule")?.as_str()).any(|rule| rule.contains("duration("));
    said || field == "ttl" || ["imeout", "Interval", "Period"].iter().any(|end| field.ends_with(end))
}

/// Groups of fields of which a value has one.
fn alternatives(schema: &Node) -> Vec<Vec<String>> {
    let all = schema.get("allOf").map(Node::items).unwrap_or_default();
    std::iter::once(schema)
        .chain(all)
        .filter_map(|schema| {
            let group: Vec<_> = (schema.get("oneOf")?.items().iter())
                .flat_map(|choice| choice.get("required").map(Node::items).unwrap_or_default())
                .filter_map(Node::as_str)
                .map(str::to_owned)
                .collect();
            (!group.is_empty()).then_some(group)
        })
        .collect()
}

/// Every field below a schema, those with fields of their own included.
fn fields(schema: &Node, way: &str) -> Vec<String> {
    let mut found = vec![way.to_owned()];
    for entry in schema.get("properties").map(Node::entries).unwrap_or_default() {
        found.extend(fields(&entry.value, &format!("{way}.{}", entry.key)));
    }
    if let Some(items) = schema.get("items") {
        found.extend(fields(items, &format!("{way}[]")));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.get("properties").is_some()) {
        found.extend(fields(values, &format!("{way}.*")));
    }
    found
}

/// What is said of an example with only its `spec` from the schema, about types and names.
fn misfits(kind: &str, version: &str, spec: &str) -> Vec<Diagnostic> {
    let group = if kind.contains("Auth") { "security" } else { "networking" };
    let text =
        format!("apiVersion: {group}.istio.io/{version}\nkind: {kind}\nmetadata: {{name: example}}\nspec: {spec}\n");
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

/// Istio's own definitions of kinds.
fn definitions(folder: &Path) -> Vec<Document> {
    let text = std::fs::read_to_string(folder.join("istio-crds/crd-all.gen.yaml")).expect("the schemas are there");
    let source = malha_manifest::SourceFile::new("crd-all.gen.yaml", text);
    let (documents, diagnostics) = parse_yaml(&source, Limits::default());
    assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
    documents
}

fn definition<'a>(definitions: &'a [Document], kind: &str) -> &'a Document {
    let named = |document: &&Document| document.get("spec.names.kind").and_then(Node::as_str) == Some(kind);
    definitions.iter().find(named).expect("Istio defines the kind")
}

#[test]
fn every_field_of_istios_schemas_is_known() {
    let Some(folder) = corpora() else { return };
    let definitions = definitions(&folder);
    for (kind, versions) in KINDS {
        let document = definition(&definitions, kind);
        let known = document.get("spec.versions").unwrap().items();
        assert_eq!(known.len(), versions, "{kind}");
        for (index, version) in known.iter().enumerate() {
            let name = version.get("name").and_then(Node::as_str).unwrap();
            let schema = spec_schema(document, index);
            // Four ways to say what a consistent hash is made of are the most that exclude each other.
            for choice in 0..4 {
                let spec = example(schema, "spec", choice);
                let said = misfits(kind, name, &spec);
                let said: String = said.iter().map(ToString::to_string).collect();
                assert!(said.is_empty(), "{kind} {name}\n{said}");
            }
        }
    }
}

#[test]
fn the_table_of_what_malha_acts_on_names_only_fields_that_there_are() {
    let Some(folder) = corpora() else { return };
    let definitions = definitions(&folder);
    for (kind, _) in KINDS {
        let known = fields(spec_schema(definition(&definitions, kind), 0), "spec");
        let named = support::fields(kind);
        for field in named.iter().filter(|field| field.starts_with("spec")) {
            // Port-level settings have no settings for ports of their own, and only they have a port.
            let odd = field.ends_with("rafficPolicy.port");
            assert!(odd || known.contains(field), "{kind} has no field {field}");
        }
    }
}

/// What becomes of each field, so that a change shows in review. `MALHA_BLESS=1` writes the list anew.
#[test]
fn every_field_of_istios_schemas_has_its_verdict() {
    let Some(folder) = corpora() else { return };
    let definitions = definitions(&folder);
    let mut list = String::new();
    for (kind, _) in KINDS {
        let known = fields(spec_schema(definition(&definitions, kind), 0), "spec");
        let leaves = known.iter().filter(|field| {
            let below =
                |other: &String| other.strip_prefix(field.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']));
            !known.iter().any(below)
        });
        for field in leaves {
            let verdict = match support::verdict(kind, field) {
                Support::ActsOn => "acts on",
                Support::Inert(_) => "inert",
                Support::NotYet => "NOT YET",
            };
            writeln!(list, "{kind} {field}: {verdict}").unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts.expected");
    if std::env::var_os("MALHA_BLESS").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let new: Vec<_> = list.lines().filter(|line| !expected.lines().any(|known| known == *line)).collect();
    assert!(expected == list, "tests/verdicts.expected is not what the table says now:\n{}", new.join("\n"));
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

/// `istioctl analyze` and malha name the same objects for what leads nowhere.
#[test]
fn names_that_lead_nowhere_are_those_that_istio_finds() {
    let Some(folder) = corpora() else { return };
    for (file, kind, words, expected) in [
        (
            "virtualservice_destinationrules.yaml",
            "VirtualService",
            "has a subset",
            &["reviews-bogussubset", "reviews-mirror-bogussubset"][..],
        ),
        ("destinationrule-with-fake-host.yaml", "DestinationRule", "there is no Service", &["fake-host"]),
        (
            "sidecar-default-selector.yaml",
            "Sidecar",
            "no workload selector either",
            &["ns2/has-conflict-1", "ns2/has-conflict-2"],
        ),
        (
            "authorizationpolicies.yaml",
            "AuthorizationPolicy",
            "there is no namespace",
            &["httpbin/httpbin-bogus-not-ns", "httpbin/httpbin-bogus-ns"],
        ),
    ] {
        let loaded = load(&[Input::File(folder.join("istio-analyze/testdata").join(file))]);
        let mut named: Vec<_> = check_references(&loaded.objects)
            .into_iter()
            .filter(|found| found.message.contains(words))
            .filter_map(|found| {
                let (_, object) = found.message.split_once(&format!(" of {kind} "))?;
                object.split_once(": ").map(|(name, _)| name.to_owned())
            })
            .collect();
        named.sort();
        named.dedup();
        assert_eq!(named, expected, "{file}");
    }
}
