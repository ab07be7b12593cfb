//! The command line, as a user has it before them: a folder, a program, what it says and how it ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::project::{project, root};

/// No command takes this long; one that hangs should fail its test rather than all of them.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// For a snapshot: what a failure says, but for the notes of what malha does not act on yet, which are the same for
    /// whoever succeeds.
    #[track_caller]
    pub(crate) fn failure(&self) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        self.stderr.split_inclusive('\n').filter(|line| !line.starts_with("note: ")).collect()
    }
}

/// A folder that a user has changed to.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// What of a fresh clone is read before anything is built: `spin.toml` and the manifests, without keys.
    pub(crate) fn clone_of_the_project() -> Self {
        let folder = Self::empty();
        folder.copy("spin.toml", &root().join("spin.toml"));
        for entry in fs::read_dir(root().join("k8s")).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name != "00-jwt.yml" && entry.path().is_file() {
                folder.copy(&format!("k8s/{name}"), &entry.path());
            }
        }
        folder
    }

    /// A project of one component, which is there already, and one Deployment. Shares the cache of machine code with
    /// the repository.
    pub(crate) fn shop() -> Self {
        let folder = Self::empty();
        folder.write("spin.toml", SPIN_TOML);
        folder.write("k8s/kustomization.yaml", "resources:\n  - shop.yml\n");
        folder.write("k8s/shop.yml", SHOP_YML);
        let store = store();
        folder.copy_of_image("shop.wasm", "posts");
        fs::create_dir(folder.path(".malha")).unwrap();
        symlink(store.join("cache"), folder.path(".malha/cache")).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn copy(&self, name: &str, from: &Path) {
        self.write(name, fs::read(from).unwrap());
    }

    /// A component of the workshop under another name.
    pub(crate) fn copy_of_image(&self, name: &str, component: &str) {
        self.copy(name, &store().join("images/workshop/0.0.1").join(format!("{component}.wasm")));
    }

    /// A program of a few lines of shell.
    pub(crate) fn script(&self, name: &str, lines: &str) {
        self.write(name, format!("#!/bin/sh\n{lines}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// With another text in place of `from`, which must be there.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, text.replace(from, to));
    }

    /// The names of all files, but for those of malha's own store.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() { walk(&entry.path(), files) } else { files.push(entry.path()) }
            }
        }
        let mut files = Vec::new();
        walk(self.0.path(), &mut files);
        let names = files.iter().map(|path| path.strip_prefix(self.0.path()).unwrap().to_str().unwrap().to_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with(".malha/")).collect();
        names.sort();
        names
    }

    /// `malha` in this folder.
    pub(crate) fn malha(&self, arguments: &[&str]) -> Command {
        malha_in(self.0.path(), arguments)
    }

    /// Runs `malha` to its end. Its own path does not appear in what it says.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        self.run_command(self.malha(arguments)).await
    }

    /// The same where the only programs are those in `programs`.
    pub(crate) async fn run_with_programs(&self, programs: &str, arguments: &[&str]) -> Said {
        let mut command = self.malha(arguments);
        command.env("PATH", self.path(programs));
        self.run_command(command).await
    }

    async fn run_command(&self, mut command: Command) -> Said {
        let output = timeout(PATIENCE, command.output()).await.expect("malha ends").unwrap();
        Said {
            status: output.status.code(),
            stdout: self.without_path(&output.stdout),
            stderr: self.without_path(&output.stderr),
        }
    }

    fn without_path(&self, text: &[u8]) -> String {
        let real = fs::canonicalize(self.0.path()).unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.replace(real.to_str().unwrap(), "FOLDER").replace(self.0.path().to_str().unwrap(), "FOLDER")
    }
}

/// Where the repository keeps images, with that of the workshop built.
fn store() -> PathBuf {
    project().images().code_cache().parent().unwrap().to_owned()
}

fn malha_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_malha"));
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Nobody's taste in colours may change what is said.
    command.env_remove("CLICOLOR_FORCE");
    command
}

const SPIN_TOML: &str = r#"spin_manifest_version = 2

[application]
name = "shop"
version = "1"

[[trigger.http]]
route = "/..."
component = "shop"

[component.shop]
source = "shop.wasm"
"#;

const SHOP_YML: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  selector:
    matchLabels:
      app: shop
  template:
    metadata:
      labels:
        app: shop
    spec:
      runtimeClassName: wasmtime-spin-v2
      containers:
        - name: shop
          image: shop:1
";

/// A `malha up` that is up.
pub(crate) struct Up {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Up {
    /// Runs a command until it says that it can be stopped.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut up = Self { child, stdout, stderr, said: String::new() };
        timeout(PATIENCE, up.read_until("Ctrl-C stops it.")).await.expect("malha comes up");
        up
    }

    /// The same at the top of the repository, whose image is built.
    pub(crate) async fn in_the_project(arguments: &[&str]) -> Self {
        let _built = project();
        Self::start(malha_in(&root(), arguments)).await
    }

    async fn read_until(&mut self, end: &str) {
        while let Some(line) = self.stderr.next_line().await.unwrap() {
            self.said.push_str(&line);
            self.said.push('\n');
            if line == end {
                return;
            }
        }
        panic!("malha ended early:\n{}", self.said);
    }

    /// What it said on stderr until now.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// The next line of stdout.
    pub(crate) async fn line(&mut self) -> String {
        timeout(PATIENCE, self.stdout.next_line()).await.expect("malha goes on").unwrap().expect("one more line")
    }

    /// Presses Ctrl-C; what it says then.
    pub(crate) async fn interrupt(mut self) -> Said {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let ending = async {
            self.stdout.into_inner().read_to_string(&mut stdout).await.unwrap();
            self.stderr.into_inner().read_to_string(&mut stderr).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, ending).await.expect("malha ends").code();
        Said { status, stdout, stderr }
    }
}
