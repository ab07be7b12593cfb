//! The servers: how each is started as its users start it, found ready, and stopped.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a server may take to answer 200: the first start of malha builds the services.
const PATIENCE: Duration = Duration::from_mins(10);

/// What `wasmtime serve` is given to be as quick as it can with a fresh instance a request: slots that are reserved,
/// reset by hand instead of unmapped, as malha has them.
const POOLING: [&str; 10] = [
    "-Opooling-allocator=y",
    "-Opooling-memory-keep-resident=1048576",
    "-Opooling-table-keep-resident=65536",
    "-Opooling-pagemap-scan=auto",
    "-Opooling-total-memories=1000",
    "-Opooling-total-tables=2000",
    "-Opooling-total-stacks=1000",
    "-Opooling-total-core-instances=4000",
    "-Opooling-total-component-instances=1000",
    "-Opooling-max-unused-warm-slots=100",
];

/// Where things lie.
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Paths {
    pub(crate) fn new(target: &Path) -> Result<Self> {
        let root = fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
        let target = fs::canonicalize(target).context("no target folder; start this with bench/run")?;
        Ok(Self { root, target })
    }

    pub(crate) fn release(&self, binary: &str) -> PathBuf {
        self.target.join("release").join(binary)
    }

    fn component(&self, name: &str) -> PathBuf {
        self.target.join("wasm32-wasip2/component").join(name)
    }

    /// The project whose one component is hello.
    pub(crate) fn hello(&self) -> PathBuf {
        self.root.join("bench/hello")
    }
}

/// What a client and a verifier of tokens need.
pub(crate) struct Secrets {
    /// `Authorization: Bearer …`
    pub(crate) header: String,
    public_key: String,
}

/// A process that serves HTTP, until this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `program` and waits until `path` answers 200.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, path: &str, header: &str) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Self { child: child.with_context(|| format!("cannot start {command:?}"))?, address };
        let start = Instant::now();
        while !matches!(get(address, path, header), Ok((200, _))) {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "{command:?} does not answer 200 to {path}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Seconds on a processor so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu(&self.child.id().to_string(), 2)
    }

    /// Sends a signal: one that is stopped takes no time from others.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status()?;
        ensure!(sent.success(), "cannot send {signal} to a server");
        Ok(())
    }

    /// A number of kilobytes from `/proc/PID/status`, in megabytes of 10^6 bytes.
    pub(crate) fn memory(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes.unwrap_or(f64::NAN) * 1024.0 / 1e6
    }
}

/// Seconds on a processor from `/proc/PROCESS/stat`, whose fields 14 and 15 count hundredths, and 16 and 17 those of
/// children that have ended.
fn cpu(process: &str, fields: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the program's name in brackets, in which anything may be.
    let after = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11).take(fields);
    after.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Seconds on a processor of this process and of those that it has waited for.
pub(crate) fn own_cpu() -> f64 {
    cpu("self", 4)
}

/// Seconds that all processors were busy, or taken away from this machine (`/proc/stat`).
pub(crate) fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // User, nice, system, not idle and waiting, interrupts, soft interrupts, stolen.
    let counted = fields.zip([true, true, true, false, false, true, true, true]).filter(|(_, counts)| *counts);
    counted.filter_map(|(field, _)| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// One request on a connection of its own: its status and what came after the head.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, header: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n");
    stream.write_all(format!("{head}{header}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

pub(crate) fn get(address: SocketAddr, path: &str, header: &str) -> Result<(u16, String)> {
    request(address, "GET", path, header)
}

pub(crate) fn raw_hyper(paths: &Paths) -> Result<Server> {
    let address = free_address()?;
    Server::start(Command::new(paths.release("raw-hyper")).arg(address.to_string()), address, "/", "")
}

/// `wasmtime serve` with a component of WASI HTTP.
fn wasmtime(options: &[&str], component: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new("wasmtime");
    command.arg("serve").args(options).arg(format!("--addr={address}")).arg("-Scli").arg(component);
    command
}

pub(crate) fn wasmtime_hello_command(paths: &Paths, address: SocketAddr) -> Command {
    wasmtime(&["-Ccache=y"], &paths.component("hello.wasm"), address)
}

pub(crate) fn wasmtime_hello(paths: &Paths, pooling: bool) -> Result<Server> {
    let address = free_address()?;
    let options: &[&str] = if pooling { &POOLING } else { &[] };
    Server::start(&mut wasmtime(options, &paths.component("hello.wasm"), address), address, "/", "")
}

pub(crate) fn wasmtime_posts(paths: &Paths, secrets: &Secrets, pooling: bool) -> Result<Server> {
    let address = free_address()?;
    let key = format!("--env=JWT_PUBLIC_KEY={}", secrets.public_key);
    let mut options = if pooling { POOLING.to_vec() } else { Vec::new() };
    options.extend([&*key, "--env=JWT_ISSUER=https://auth.workshop.example", "--env=JWT_AUDIENCE=workshop"]);
    let mut command = wasmtime(&options, &paths.component("posts_peer.wasm"), address);
    Server::start(&mut command, address, "/posts", &secrets.header)
}

/// `spin up` with the same hello; `None` where there is no `spin` on PATH.
pub(crate) fn spin_hello(paths: &Paths) -> Result<Option<Server>> {
    if Command::new("spin").arg("--version").output().is_err() {
        return Ok(None);
    }
    let address = free_address()?;
    let mut command = Command::new("spin");
    command.args(["up", "--listen", &address.to_string(), "--from"]).arg(paths.hello().join("spin.toml"));
    Server::start(&mut command, address, "/", "").map(Some)
}

/// `malha up`, as a user types it in the project's folder who wants to know what the machine can do.
pub(crate) fn malha_command<S: AsRef<OsStr>>(
    paths: &Paths,
    folder: &Path,
    arguments: &[S],
) -> Result<(Command, SocketAddr)> {
    let address = free_address()?;
    let mut command = Command::new(paths.release("malha"));
    command.current_dir(folder).args(["up", "--no-limits", "--gateway"]).arg(address.to_string()).args(arguments);
    Ok((command, address))
}

/// malha with one set of manifests.
pub(crate) struct Malha;

impl Malha {
    /// hello behind the gateway.
    pub(crate) fn hello(paths: &Paths) -> Result<Server> {
        let (mut command, address) = malha_command(paths, &paths.hello(), &["-k", "k8s"])?;
        Server::start(&mut command, address, "/", "")
    }

    /// The four services of `k8s/`.
    pub(crate) fn workshop(paths: &Paths) -> Result<Workshop> {
        let (mut command, address) = malha_command(paths, &paths.root, &["-k", "k8s"])?;
        Server::start(&mut command, address, "/posts/healthz", "").map(Workshop)
    }

    /// The same with 397 pods of posts, 400 in all.
    pub(crate) fn workshop_of_400(paths: &Paths) -> Result<Workshop> {
        let manifests = fs::read_to_string(paths.root.join("k8s/01-posts.yml"))?;
        let deployment = manifests.split("\n---\n").find(|text| text.contains("\nkind: Deployment"));
        let deployment = deployment.context("k8s/01-posts.yml has no Deployment")?;
        let many = deployment.replace("\n  replicas: 1\n", "\n  replicas: 397\n");
        ensure!(many != deployment, "the Deployment of k8s/01-posts.yml has other replicas than 1");
        let file = paths.target.join("posts-400.yml");
        fs::write(&file, many)?;
        let arguments = ["-k".as_ref(), "k8s".as_ref(), "-f".as_ref(), file.as_os_str()];
        let (mut command, address) = malha_command(paths, &paths.root, &arguments)?;
        Server::start(&mut command, address, "/posts/healthz", "").map(Workshop)
    }
}

/// malha with the four services.
pub(crate) struct Workshop(pub(crate) Server);

impl Workshop {
    /// A token of `admin`, and the key that verifies it.
    pub(crate) fn secrets(&self, paths: &Paths) -> Result<Secrets> {
        const ADMIN: &str = "authorization: Basic YWRtaW46YWRtaW4=";
        let (status, body) = request(self.0.address, "POST", "/auth", ADMIN)?;
        ensure!(status == 200, "auth answers {status}");
        let json = body.find('{').and_then(|start| body.get(start..=body.rfind('}')?)).context("no JSON")?;
        let answer: serde_json::Value = serde_json::from_str(json)?;
        let token = answer["access_token"].as_str().context("no token")?;

        let keys = fs::read_to_string(paths.root.join("k8s/00-jwt.yml"))?;
        let lines = keys.lines().map(str::trim).skip_while(|line| !line.contains("BEGIN PUBLIC KEY"));
        let public_key = lines.take(4).collect::<Vec<_>>().join("\n");
        ensure!(public_key.ends_with("-----END PUBLIC KEY-----"), "k8s/00-jwt.yml is not as malha keygen writes it");
        Ok(Secrets { header: format!("authorization: Bearer {token}"), public_key })
    }
}

/// What the start of one server took.
pub(crate) struct Start {
    /// Until it said that it was ready, for those that say so.
    pub(crate) ready: Option<Duration>,
    /// Until the first 200 had come.
    pub(crate) first: Duration,
}

/// Times a start. A client asks from before the exec on, twenty times a millisecond, until it is answered.
pub(crate) fn time_start(mut command: Command, address: SocketAddr, path: &str, header: &str) -> Result<Start> {
    let (path, header) = (path.to_owned(), header.to_owned());
    let client = thread::spawn(move || {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            if matches!(get(address, &path, &header), Ok((200, _))) {
                return Some(Instant::now());
            }
            thread::sleep(Duration::from_micros(50));
        }
        None
    });
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    let server = Server { child, address };
    let reader = thread::spawn(move || {
        let mut ready = None;
        // To the end: a server whose stderr is closed may stop.
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains("Ready") {
                ready.get_or_insert_with(Instant::now);
            }
        }
        ready
    });
    let first = client.join().ok().flatten().context("no answer")?;
    // The line may still be on its way: an answer can be quicker.
    thread::sleep(Duration::from_millis(50));
    drop(server);
    let ready = reader.join().ok().flatten();
    Ok(Start { ready: ready.map(|ready| ready - start), first: first - start })
}
