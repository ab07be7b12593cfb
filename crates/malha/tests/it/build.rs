//! `malha build`: what runs, what does not run again, and what it says.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use malha::{Plan, Project, Running};
use malha_cluster::{Key, Kind};
use malha_manifest::Input;
use malha_runtime::{Inbound, Step};
use malha_world::World;

use crate::support::{Folder, NOW, Up, engine, get};

/// A project whose build command notes in `builds.txt` that it ran, and for which version.
fn project() -> Folder {
    let folder = Folder::shop();
    let build = r#"source = "shop.wasm"

[component.shop.build]
command = "echo built $APP_VERSION >> builds.txt"
watch = ["source.txt"]
"#;
    folder.edit("spin.toml", "source = \"shop.wasm\"\n", build);
    folder.write("source.txt", "one");
    folder
}

#[tokio::test]
async fn nothing_is_built_twice_until_a_watched_file_changes() {
    let folder = project();
    for (case, what, builds) in [
        ("first", "1 component built", "built 1\n"),
        ("second", "nothing changed", "built 1\n"),
        ("third, after a change", "1 component built", "built 1\nbuilt 1\n"),
    ] {
        if case.starts_with("third") {
            folder.write("source.txt", "another");
        }
        let said = folder.run(&["build"]).await;
        assert_eq!((said.status, said.stdout.as_str()), (Some(0), "shop:1\n"), "{case}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("image shop:1 ({what}, ")), "{case}: {}", said.stderr);
        assert_eq!(folder.read("builds.txt"), builds, "{case}");
    }
}

#[tokio::test]
async fn another_version_is_another_image_and_reaches_the_build_command() {
    let folder = project();
    for (version, image) in [("2.0-rc.1", "shop:2.0-rc.1\n"), ("1", "shop:1\n")] {
        let said = folder.run(&["build", "--app-version", version]).await;
        assert_eq!((said.status, said.stdout.as_str()), (Some(0), image), "{}", said.stderr);
    }
    assert_eq!(folder.read("builds.txt"), "built 2.0-rc.1\nbuilt 1\n");
}

#[tokio::test]
async fn a_folder_within_the_project_does_as_well() {
    let folder = project();
    folder.write("docs/notes.txt", "");
    let mut command = folder.malha(&["build"]);
    let output = command.current_dir(folder.path("docs")).output().await.unwrap();
    assert_eq!(output.stdout, b"shop:1\n", "{}", String::from_utf8_lossy(&output.stderr));
}

/// The project with a second application, `shelf`, in `components/`.
fn two_applications() -> Folder {
    let folder = project();
    let shelf = folder.read("spin.toml").replace("shop.wasm", "../../shop.wasm").replace("shop\"\n", "shelf\"\n");
    folder.write("components/shelf/spin.toml", shelf.replace("component.shop", "component.shelf"));
    folder.write("components/shelf/source.txt", "one");
    folder.write("components/notes.txt", "no application");
    folder
}

#[tokio::test]
async fn applications_below_components_are_built_by_their_name_or_their_folder() {
    let folder = two_applications();
    for (arguments, images, builds) in [
        (&["build", "shelf"][..], "shelf:1\n", "built 1\n"),
        (&["build", "shelf:2"], "shelf:2\n", "built 1\nbuilt 2\n"),
        (&["build", "-f", "components/shelf", "--app-version", "3"], "shelf:3\n", "built 1\nbuilt 2\nbuilt 3\n"),
        (&["build", "-f", "components/shelf/spin.toml"], "shelf:1\n", "built 1\nbuilt 2\nbuilt 3\n"),
        (&["build", "shop", "shelf:2"], "shop:1\nshelf:2\n", "built 1\nbuilt 2\nbuilt 3\n"),
    ] {
        let said = folder.run(arguments).await;
        assert_eq!((said.status, said.stdout.as_str()), (Some(0), images), "{arguments:?}: {}", said.stderr);
        assert_eq!(folder.read("components/shelf/builds.txt"), builds, "{arguments:?}");
    }
    // From its own folder it is what is built, and its image lies with the others.
    let mut command = folder.malha(&["build"]);
    let output = command.current_dir(folder.path("components/shelf")).output().await.unwrap();
    assert_eq!(output.stdout, b"shelf:1\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path(".malha/images/shelf/1/shelf.wasm").exists());
    assert!(!folder.path("components/shelf/.malha").exists());
}

#[tokio::test]
async fn up_builds_whatever_application_its_manifests_name() {
    let folder = two_applications();
    folder.edit("k8s/shop.yml", "image: shop:1", "image: shelf:7");
    let up = Up::start(folder.malha(&["up", "--gateway", "127.0.0.1:0", "--api", "127.0.0.1:0"])).await;
    assert!(up.said().contains("Ready 1 of 1 pods"), "{}", up.said());
    assert_eq!(up.interrupt().await.status, Some(0));
    assert_eq!(folder.read("components/shelf/builds.txt"), "built 7\n");
    assert!(!folder.path("builds.txt").exists(), "nobody asked for the application at the top");
}

/// As after `kubectl rollout restart`: what runs keeps what it has, and the next pod has the new build.
#[tokio::test(start_paused = true)]
async fn a_pod_that_starts_after_a_build_runs_what_was_built() {
    let folder = Folder::shop();
    let shop = Project::open(&folder.path("")).unwrap();
    let build = || shop.build(engine(), shop.current(), None, &mut |_: Step<'_>| {}).unwrap();
    build();
    let (plan, _) = Plan::load(&[Input::Kustomize(folder.path("k8s"))]);
    let (running, _) = Running::start(plan, engine().clone(), shop.images().clone(), World::simulated(NOW, 1)).await;
    assert_eq!(who_answers(&running).await, ["posts"]);

    folder.copy_of_image("shop.wasm", "comments");
    build();
    assert_eq!(who_answers(&running).await, ["posts"], "a pod that runs is left alone");
    let name = running.pods()[0].name.clone();
    running.cluster().delete(&Key::new(Kind::Pod, "default", &name)).unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(who_answers(&running).await, ["comments"]);
}

/// Which service the only pod is.
async fn who_answers(running: &Running) -> Vec<&'static str> {
    let pods: Vec<_> = running.running().into_values().collect();
    let [pod] = pods.as_slice() else { panic!("{} pods run", pods.len()) };
    let mut found = Vec::new();
    for service in ["posts", "comments"] {
        let request = get(format!("/{service}/healthz")).request();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        if pod.answer(Inbound { request, depth: 0, peer }).await.is_ok_and(|answer| answer.status() == 200) {
            found.push(service);
        }
    }
    found
}
