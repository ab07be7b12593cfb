//! The project's own manifests, and how inputs are put together.

use std::path::{Path, PathBuf};

use malha_manifest::spin::load_spin;
use malha_manifest::support::{Support, survey};
use malha_manifest::{Input, Loaded, Object, Overlay, load, load_with, missing_resources};

const JWT: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: jwt-keys}\nstringData: {private.pem: a, public.pem: b}\n";

fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s")
}

fn load_base() -> Loaded {
    let folder = base();
    let files = Overlay::new().with(folder.join("00-jwt.yml"), JWT);
    load_with(&[Input::Kustomize(folder)], &files)
}

fn said(loaded: &Loaded) -> String {
    loaded.diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn the_base_loads_and_its_names_all_lead_somewhere() {
    let loaded = load_base();
    assert!(!loaded.has_errors(), "{}", said(&loaded));
    let ids: Vec<_> = loaded.objects.iter().map(|object| object.id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "Secret jwt-keys",
            "Secret users",
            "Service auth-service",
            "Deployment auth-deployment",
            "Service posts-service",
            "Deployment posts-deployment",
            "Service comments-service",
            "Deployment comments-deployment",
            "Service composition-service",
            "Deployment composition-deployment",
            "Gateway workshop-gateway",
            "VirtualService app-route",
        ]
    );
    let references: Vec<_> = loaded.diagnostics.iter().filter(|one| !one.message.contains("not acted on")).collect();
    assert!(references.is_empty(), "{}", said(&loaded));
}

#[test]
fn what_the_base_says_and_malha_does_not_do_is_told_once_each() {
    let loaded = load_base();
    let not_yet: Vec<_> = survey(&loaded.objects)
        .into_iter()
        .filter(|one| one.support == Support::NotYet)
        .map(|one| (one.field, one.count))
        .collect();
    assert_eq!(not_yet.len(), loaded.diagnostics.len(), "{}", said(&loaded));
    assert!(not_yet.iter().all(|(_, count)| (3..=4).contains(count)), "one a Deployment that has it: {not_yet:?}");
}

#[test]
fn a_base_without_its_generated_file_says_which_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources:\n- 00-jwt.yml\n").unwrap();
    let input = [Input::Kustomize(folder.path().to_owned())];
    assert_eq!(missing_resources(&input), [folder.path().join("00-jwt.yml")]);
    let loaded = load(&input);
    assert!(loaded.has_errors());
    assert_eq!(loaded.diagnostics[0].location.as_ref().map(|place| (place.line(), place.column())), Some((2, 3)));
    std::fs::write(folder.path().join("00-jwt.yml"), JWT).unwrap();
    assert_eq!(missing_resources(&input), [] as [PathBuf; 0]);
    assert!(!load(&input).has_errors(), "{}", said(&load(&input)));
}

#[test]
fn a_later_object_takes_the_place_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let map = |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{key: {value}}}\n");
    std::fs::create_dir(folder.path().join("base")).unwrap();
    std::fs::write(folder.path().join("base/kustomization.yml"), "resources: [a.yml]\n").unwrap();
    std::fs::write(folder.path().join("base/a.yml"), map("first")).unwrap();
    std::fs::write(folder.path().join("b.yml"), map("second")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not: read").unwrap();
    let loaded = load(&[Input::Kustomize(folder.path().join("base")), Input::File(folder.path().to_owned())]);
    assert!(loaded.diagnostics.is_empty(), "{}", said(&loaded));
    let [object] = loaded.objects.as_slice() else { panic!("{:?}", loaded.objects) };
    let Object::ConfigMap(map) = &object.object else { panic!() };
    assert_eq!(map.data.as_ref().unwrap()["key"], "second");
    assert!(object.at("data.key").unwrap().file().ends_with("b.yml"));
}

#[test]
fn kustomizations_lead_through_folders_and_say_what_they_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let text = "namePrefix: x-\nresources: [inner, gone.yml, https://example.com/a.yml, 7]\nresource: []\n";
    std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
    std::fs::write(inner.join("kustomization.yaml"), "resources: [../inner]\n").unwrap();
    let loaded = load(&[Input::Kustomize(folder.path().to_owned())]);
    let said = said(&loaded);
    for words in [
        "does not act on `namePrefix`",
        "does not act on `resource` of",
        "did you mean `resources`",
        "gone.yml does not exist",
        "not on this machine",
        "expected a path, found a number",
        "does one name its parent",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yml"), [0xff, 0xfe]).unwrap();
    for (input, words) in [
        (Input::File(folder.path().join("a.yml")), "not UTF-8"),
        (Input::File(folder.path().join("b.yml")), "cannot read"),
        (Input::Kustomize(folder.path().to_owned()), "unable to find one of"),
    ] {
        let loaded = load(&[input]);
        assert!(loaded.has_errors() && said(&loaded).contains(words), "{words}\n{}", said(&loaded));
    }
}

#[test]
fn the_spin_manifest_and_the_deployments_belong_together() {
    let (manifest, diagnostics) = load_spin(&base().join("../spin.toml"));
    assert!(diagnostics.is_empty(), "{}", diagnostics.iter().map(ToString::to_string).collect::<String>());
    let manifest = manifest.expect("without diagnostics there is a manifest");
    let image = format!("{}:{}", manifest.application.name, manifest.application.version);
    let mut deployments = 0;
    for object in &load_base().objects {
        let Object::Deployment(deployment) = &object.object else { continue };
        deployments += 1;
        let template = &deployment.spec.as_ref().unwrap().template;
        let container = &template.spec.as_ref().unwrap().containers[0];
        assert_eq!(container.image.as_deref(), Some(image.as_str()), "{}", object.id);
        assert_eq!(
            template.metadata.as_ref().unwrap().labels.as_ref().unwrap()["version"],
            manifest.application.version
        );
        let env = container.env.as_ref().unwrap();
        let retained = env.iter().find(|variable| variable.name == "SPIN_COMPONENTS_TO_RETAIN").unwrap();
        let kept = manifest.retain(&[retained.value.as_deref().unwrap()]).unwrap();
        // Every variable feeds one that the kept component reads: the others have no business in this pod.
        for variable in env.iter().filter(|variable| !variable.name.starts_with("SPIN_")) {
            let name = variable.name.to_lowercase();
            let used = kept[0].variables.values().any(|template| template.variables().any(|one| one == name));
            assert!(used, "{}: {}", object.id, variable.name);
        }
    }
    assert_eq!(deployments, 4);
}
