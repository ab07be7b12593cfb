//! `templates/malha-service`: what `spin new -t malha-service` makes of it is a project that runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::{Captures, Regex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Folder, Up, project, root};

const NAME: &str = "my-service";

/// The parameter's default, which `spin new --accept-defaults` takes.
const DESCRIPTION: &str = "A service of WebAssembly";

fn template() -> PathBuf {
    root().join("templates/malha-service")
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fn walk(top: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(top, &path, files);
            } else {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// As Spin does it (`crates/templates/src/run.rs`), with what of Liquid this template uses: values, and two of Spin's
/// filters. `.tmpl` ends the name of a file that is not yet what its name says.
fn as_spin_expands_it() -> BTreeMap<String, String> {
    let value = Regex::new(r"\{\{ *([a-z-]+) *(?:\| *([a-z_]+) *)?\}\}").unwrap();
    let expand = |found: &Captures<'_>| {
        let text = match &found[1] {
            "project-name" => NAME,
            "project-description" => DESCRIPTION,
            other => panic!("the template has no parameter {other}"),
        };
        match found.get(2).map(|filter| filter.as_str()) {
            None | Some("kebab_case") => text.to_owned(),
            Some("snake_case") => text.replace('-', "_"),
            Some(other) => panic!("Spin has no filter {other}, or this test does not know it"),
        }
    };
    let expanded = files(&template().join("content")).into_iter().map(|(name, text)| {
        let text = value.replace_all(&text, expand).into_owned();
        assert!(!text.contains("{{") && !text.contains("{%"), "{name} has more of Liquid: {text}");
        (name.strip_suffix(".tmpl").unwrap_or(&name).to_owned(), text)
    });
    expanded.collect()
}

#[test]
fn the_template_says_what_spin_wants_to_know() {
    let text = fs::read_to_string(template().join("metadata/spin-template.toml")).unwrap();
    // Spin refuses what it does not know (`RawTemplateManifestV1`).
    let keys: Vec<_> = text.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
    assert_eq!(keys, ["manifest_version", "id", "description", "trigger_type", "tags", "project-description"]);
    assert!(text.contains("id = \"malha-service\"\n") && text.contains(&format!("default = \"{DESCRIPTION}\"")));
}

#[test]
fn the_script_makes_what_spin_makes() {
    let folder = Folder::empty();
    let script = root().join("scripts/new-service.sh");
    let run = |name: &str| {
        let mut command = Command::new(&script);
        command.args([name, folder.path("made").to_str().unwrap()]).output().unwrap()
    };
    for wrong in ["My-Service", "my_service", "-x", "a--b", ""] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong}");
    }
    assert!(run(NAME).status.success());
    assert_eq!(files(&folder.path("made")), as_spin_expands_it());
    let again = run(NAME);
    assert_eq!(again.status.code(), Some(1), "a folder that is there stays as it is");
}

/// In an empty folder, with the versions of dependencies that this repository has, so that nothing comes from the net.
#[tokio::test]
async fn a_new_service_answers() {
    let folder = Folder::empty();
    for (name, text) in as_spin_expands_it() {
        folder.write(&name, text);
    }
    folder.write("Cargo.lock", fs::read(root().join("Cargo.lock")).unwrap());
    // Dependencies are compiled once for all runs of this test.
    let target = root().join("target/template");
    fs::create_dir_all(&target).unwrap();
    std::os::unix::fs::symlink(target, folder.path("target")).unwrap();
    // Whatever crates it needs have been fetched for the services.
    let _built = project();
    let mut command = folder.malha(&["up", "--gateway", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    command.env("CARGO_NET_OFFLINE", "true");
    let mut up = Up::start(command).await;
    assert!(up.said().contains("Ready 2 of 2 pods"), "{}", up.said());

    let row = up.line().await;
    let address = row.strip_prefix("http://").unwrap().split_whitespace().next().unwrap();
    assert!(up.said().contains(&format!("curl -i http://{address}/")), "{}", up.said());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nx-app-version: 0.0.1\r\n"), "{answer}");
    // In chunks, since the component names no length.
    assert!(answer.contains("\r\nHello from my-service 0.0.1!\n\r\n"), "{answer}");
    assert_eq!(up.interrupt().await.status, Some(0));
}
