//! `malha build`: what runs, what does not run again, and what it says.

use crate::support::Folder;

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
