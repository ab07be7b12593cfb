//! Small wrong manifests in `cases/`, each with what is said about it in a file beside it.
//!
//! `MALHA_BLESS=1 cargo test -p malha-manifest --test golden` writes the expected files anew: read the difference.

use std::fmt::Write as _;
use std::path::Path;

use malha_manifest::{Diagnostic, parse_manifests, spin};

#[test]
fn every_mistake_is_told_at_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = || std::fs::read_to_string(&path).unwrap();
        let diagnostics = match kind {
            "yml" => parse_manifests(name, &text()).diagnostics,
            "toml" => spin::read_spin(name, &text()).1,
            _ => continue,
        };
        cases += 1;
        let said = said(&diagnostics);
        assert!(!said.contains("hunter"), "{name}: a secret is shown\n{said}");
        let expected = path.with_extension("expected");
        if std::env::var_os("MALHA_BLESS").is_some() {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name} now gives\n{said}"));
        }
    }
    assert!(cases > 10, "the cases are missing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn said(diagnostics: &[Diagnostic]) -> String {
    let mut said = String::new();
    for diagnostic in diagnostics {
        writeln!(said, "{diagnostic}").expect("a String takes everything");
    }
    said
}

#[test]
fn debug_output_holds_no_secret() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData: {a: hunter2}\n";
    let loaded = parse_manifests("a.yml", text);
    assert_eq!(loaded.objects.len(), 1);
    let debug = format!("{loaded:?} {:?} {:?}", loaded.objects[0].object, loaded.objects[0].document());
    assert!(!debug.contains("hunter"), "{debug}");
    let toml = "spin_manifest_version = 2\napplication.name = 'a'\n[variables]\nkey = { default = 'hunter2', secret = true }\n\
                [[trigger.http]]\nroute = '/...'\ncomponent = 'a'\n[component.a]\nsource = 'a.wasm'\n";
    let (manifest, _) = spin::read_spin("spin.toml", toml);
    let debug = format!("{:?}", manifest.expect("a valid manifest"));
    assert!(!debug.contains("hunter"), "{debug}");
}
