//! Whatever bytes come in: an answer and messages, never a panic, and never more than the limits allow.

use malha_manifest::node::{Limits, parse_toml, parse_yaml};
use malha_manifest::{FieldPath, SourceFile, parse_manifests, spin};
use proptest::prelude::*;

/// Texts that look enough like manifests to get past the first line.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("apiVersion: v1\n"),
        Just("apiVersion: networking.istio.io/v1\n"),
        Just("apiVersion: apps/v1\n"),
        Just("kind: Secret\n"),
        Just("kind: VirtualService\n"),
        Just("kind: Deployment\n"),
        Just("kind: List\n"),
        Just("metadata: {name: a}\n"),
        Just("metadata:\n  name: a\n"),
        Just("spec:\n"),
        Just("  http:\n"),
        Just("  - match: [{uri: {prefix: /}}]\n"),
        Just("    route: [{destination: {host: a}}]\n"),
        Just("    timeout: 1s\n"),
        Just("data: {a: !!binary x}\n"),
        Just("&a "),
        Just("*a"),
        Just("<<: "),
        Just("- "),
        Just("? "),
        Just("|\n"),
        Just("---\n"),
        Just("[["),
        Just("]]"),
        Just("{"),
        Just("}"),
        Just("\t"),
        Just("é\u{202e}\u{0}"),
        Just("9e999"),
        Just("[component.a]\n"),
        Just("[[trigger.http]]\n"),
        Just("source = \"a\"\n"),
        Just("route = \"/...\"\n"),
        Just("spin_manifest_version = 2\n"),
        Just("= 99999999999999999999\n"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn read_everything(text: &str) {
    let loaded = parse_manifests("a.yml", text);
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.to_string().is_empty());
    }
    let (_, diagnostics) = spin::read_spin("spin.toml", text);
    for diagnostic in &diagnostics {
        assert!(!diagnostic.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        read_everything(&text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_looks_like_a_manifest_is_read(text in fragments()) {
        read_everything(&text);
    }

    #[test]
    fn any_path_is_a_path(text in "[^\"]{0,60}") {
        let path = FieldPath::parse(&text);
        prop_assert_eq!(FieldPath::parse(&path.to_string()).steps().len(), path.steps().len());
    }
}

#[test]
fn depth_is_limited_however_it_is_written() {
    let deep = "[".repeat(100_000);
    let chain: String =
        (1..1_000).fold("a0: &a0 [x]\n".to_owned(), |text, n| text + &format!("a{n}: &a{n} [*a{}]\n", n - 1));
    let dashes = "- ".repeat(50_000);
    for text in [deep, chain, dashes] {
        let (_, diagnostics) = parse_yaml(&SourceFile::new("deep.yml", text), Limits::default());
        assert_eq!(diagnostics.len(), 1);
        // Ours, or the parser's own limit for brackets.
        let limited =
            ["inside each other", "recursion limit"].iter().any(|words| diagnostics[0].message.contains(words));
        assert!(limited, "{}", diagnostics[0]);
    }
    let toml = format!("a = {}", "[".repeat(100_000));
    assert!(!parse_toml(&SourceFile::new("deep.toml", toml), Limits::default()).1.is_empty());
}

#[test]
fn size_is_limited() {
    let limits = Limits { bytes: 10, ..Limits::default() };
    let source = SourceFile::new("big", "a: 0123456789");
    assert_eq!(parse_yaml(&source, limits).1.len(), 1);
    assert_eq!(parse_toml(&source, limits).1.len(), 1);
}
