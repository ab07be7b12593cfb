//! The mistakes that people make first, and what malha says: each text is a snapshot, read as a user would read it.

use std::net::TcpListener;

use insta::assert_snapshot;

use crate::support::{Folder, Up};

/// `malha up` on a free port.
const UP: [&str; 3] = ["up", "--gateway", "127.0.0.1:0"];

/// A clone whose keys are made already: making them is no mistake.
async fn clone_with_keys() -> Folder {
    let folder = Folder::clone_of_the_project();
    assert_eq!(folder.run(&["keygen"]).await.status, Some(0));
    folder
}

#[tokio::test]
async fn no_rust_at_all() {
    let folder = clone_with_keys().await;
    assert_snapshot!(folder.run_with_programs("nothing", &UP).await.failure());
}

#[tokio::test]
async fn no_rust_target_and_no_rustup() {
    let folder = clone_with_keys().await;
    folder.script("bin/rustc", "echo /nowhere/lib");
    assert_snapshot!(folder.run_with_programs("bin", &UP).await.failure());
}

#[tokio::test]
async fn no_rust_target_and_rustup_cannot_add_it() {
    let folder = clone_with_keys().await;
    folder.script("bin/rustc", "echo /nowhere/lib");
    folder.script("bin/rustup", "echo \"error: could not download file\" >&2; exit 1");
    assert_snapshot!(folder.run_with_programs("bin", &UP).await.failure());
}

#[tokio::test]
async fn port_taken() {
    let folder = clone_with_keys().await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let said = folder.run(&["up", "--gateway", &format!("127.0.0.1:{port}")]).await;
    let next = port.checked_add(1000).unwrap_or(9080);
    let text = said.failure().replace(&format!(":{port}"), ":PORT").replace(&format!(":{next}"), ":PORT+1000");
    // macOS counts differently.
    let text = text.replace("os error 48", "os error 98");
    assert_snapshot!(text);
}

/// What `malha up` says of a clone in whose manifest one text was replaced by another. The number of the changed line is
/// `NN`, so that the manifests may grow above it.
async fn mistyped(file: &str, from: &str, to: &str) -> String {
    let folder = clone_with_keys().await;
    folder.edit(file, from, to);
    let line = folder.read(file).lines().position(|line| line.contains(to)).unwrap() + 1;
    // A warning at most does not keep malha from going on; without Rust it does not get far.
    let text = folder.run_with_programs("nothing", &UP).await.failure();
    text.replace(&format!("{file}:{line}:"), &format!("{file}:NN:")).replace(&format!("{line} |"), "NN |")
}

#[tokio::test]
async fn typo_in_a_field() {
    assert_snapshot!(mistyped("k8s/01-posts.yml", "replicas: 1", "replica: 1").await);
}

#[tokio::test]
async fn typo_in_a_name() {
    assert_snapshot!(mistyped("k8s/03-gateway.yml", "host: posts-service", "host: post-service").await);
}

#[tokio::test]
async fn bad_yaml() {
    let folder = Folder::shop();
    folder.edit("k8s/shop.yml", "  name: shop\nspec", " name: shop\n   labels: {\nspec");
    assert_snapshot!(folder.run(&UP).await.failure());
}

#[tokio::test]
async fn a_resource_that_is_not_there() {
    let folder = Folder::shop();
    folder.edit("k8s/kustomization.yaml", "shop.yml", "shelf.yml");
    assert_snapshot!(folder.run(&UP).await.failure());
}

#[tokio::test]
async fn no_such_image() {
    let folder = shop_and("shelf");
    folder.edit("k8s/shop.yml", "image: shop:1", "image: shoop:1");
    assert_snapshot!(folder.run(&UP).await.failure());
}

#[tokio::test]
async fn no_such_folder_of_manifests() {
    let folder = Folder::shop();
    assert_snapshot!(folder.run(&["up", "-k", "manifests", "--gateway", "127.0.0.1:0"]).await.failure());
}

#[tokio::test]
async fn not_in_a_project() {
    assert_snapshot!(Folder::empty().run(&UP).await.failure());
}

#[tokio::test]
async fn keys_are_there_already() {
    let folder = clone_with_keys().await;
    assert_snapshot!(folder.run(&["keygen"]).await.failure());
}

#[tokio::test]
async fn a_version_that_is_no_tag() {
    assert_snapshot!(Folder::shop().run(&["build", "--app-version", "../2"]).await.failure());
}

/// A shop whose neighbour has an application too, of this name.
fn shop_and(name: &str) -> Folder {
    let folder = Folder::shop();
    let text = folder.read("spin.toml").replace("\"shop\"", &format!("\"{name}\""));
    folder.write("components/neighbour/spin.toml", text.replace("component.shop", &format!("component.{name}")));
    folder
}

#[tokio::test]
async fn two_applications_of_one_name() {
    assert_snapshot!(shop_and("shop").run(&["build"]).await.failure());
}

#[tokio::test]
async fn no_such_application() {
    assert_snapshot!(shop_and("shelf").run(&["build", "shelv:1"]).await.failure());
}

#[tokio::test]
async fn two_versions_at_once() {
    assert_snapshot!(Folder::shop().run(&["build", "shop:1", "--app-version", "2"]).await.failure());
}

#[tokio::test]
async fn a_build_command_that_fails() {
    let folder = Folder::shop();
    let build = "source = \"shop.wasm\"\n[component.shop.build]\ncommand = \"echo no luck >&2; exit 3\"";
    folder.edit("spin.toml", "source = \"shop.wasm\"", build);
    assert_snapshot!(folder.run(&["build"]).await.failure());
}

#[tokio::test]
async fn a_component_that_is_not_there() {
    let folder = Folder::shop();
    folder.edit("spin.toml", "shop.wasm", "shelf.wasm");
    assert_snapshot!(folder.run(&["build"]).await.failure());
}

#[tokio::test]
async fn components_that_malha_cannot_run() {
    let keyvalue = r#"(component (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "open" (func)))))"#;
    for (name, bytes) in [
        ("an_import_that_malha_does_not_offer", wat::parse_str(keyvalue).unwrap()),
        ("a_component_that_answers_nothing", wat::parse_str("(component)").unwrap()),
        ("a_core_module", wat::parse_str("(module)").unwrap()),
        ("no_webassembly", b"<html>".to_vec()),
    ] {
        let folder = Folder::shop();
        folder.write("shop.wasm", bytes);
        assert_snapshot!(name, folder.run(&UP).await.failure());
    }
}

/// A pod that cannot start is no reason to stop the others: as in a cluster, the rest comes up.
#[tokio::test]
async fn pods_that_cannot_start() {
    const SPIN: (&str, &str) = ("spin.toml", "[application]");
    const POD: (&str, &str) = ("k8s/shop.yml", "image: shop:1");
    let env = |name: &str, value: &str| {
        format!("image: shop:1\n          env:\n            - name: {name}\n              value: \"{value}\"")
    };
    let required = "[variables]\napi_key = { required = true }\n\n[application]".to_owned();
    for (name, (file, from), to) in [
        ("a_required_variable_without_a_value", SPIN, required),
        ("a_component_that_the_image_does_not_have", POD, env("SPIN_COMPONENTS_TO_RETAIN", "shelf")),
        ("a_memory_that_is_no_number", POD, env("SPIN_MAX_INSTANCE_MEMORY", "32M")),
    ] {
        let folder = Folder::shop();
        folder.edit(file, from, &to);
        let up = Up::start(folder.malha(&UP)).await;
        // Between the pod's name, which is drawn, and how long it took.
        let (_, warning) = up.said().split_once(" is not ready: ").unwrap();
        let warning = warning.split_once("       Ready 0 of 1 pods").unwrap().0.to_owned();
        assert_eq!(up.interrupt().await.status, Some(0));
        assert_snapshot!(name, warning);
    }
}
