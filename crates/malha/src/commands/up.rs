//! `malha up`

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use malha_cluster::{Nodes, PodRow};
use malha_manifest::{Diagnostic, Input, Severity, missing_resources};
use malha_mesh::Mesh;
use malha_runtime::{Engine, EngineOptions, ImageName, Logs, Pod};
use malha_world::World;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::application::Application;
use crate::cli::Up;
use crate::cluster::{Plan, Running};
use crate::doors::{self, Door, Turn};
use crate::keys;
use crate::kubeconfig::Kubeconfig;
use crate::project::Project;
use crate::screen::{self, seconds, table};
use crate::source::Source;
use crate::volumes::Volumes;

/// What `malha up` loads when nothing is named.
const DEFAULT_MANIFESTS: &str = "k8s";

/// Ports after the gateway's that load balancers may try.
const PORTS_TRIED: u16 = 200;

/// How long requests under way may take when we stop, as Istio's `terminationDrainDuration`.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: &Up) -> Result<()> {
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve requests")?;
    let result = runtime.block_on(up(arguments, start));
    // Guests that are still busy must not keep us.
    runtime.shutdown_background();
    result
}

async fn up(arguments: &Up, start: Instant) -> Result<()> {
    let world = arguments
        .seed
        .map_or_else(World::real, |seed| World { chance: malha_world::Chance::seeded(seed), ..World::real() });
    let mesh = mesh(&world)?;
    let project = Arc::new(Project::here()?);
    let inputs = inputs(arguments, project.folder());
    make_keys(&inputs)?;

    let (plan, mut diagnostics) = Plan::load(&inputs);
    let plan = plan.on_nodes(Nodes { count: arguments.nodes, processors: arguments.cpus, memory: arguments.memory });
    for application in applications(&plan, &project) {
        diagnostics.extend_from_slice(application.findings());
    }
    report(&diagnostics)?;
    // Bound first: a port in use should not be found out after a minute of building.
    let sockets = bind(&plan.doors(), arguments.gateway)?;
    let api = bind_api(arguments.api)?;
    let engine = project.engine(EngineOptions { pod_limits: !arguments.no_limits, ..EngineOptions::default() })?;
    prepare_images(&plan, &project, &engine)?;
    let volumes = Volumes::in_folder(&project.volumes()).context("cannot keep the volumes of pods")?;
    let plan = plan.keeping(volumes);

    let gateway = sockets.first().map(|(_, socket)| socket.local_addr()).transpose()?;
    let suggestions = gateway.map(|address| plan.suggestions(&format!("http://{address}"))).unwrap_or_default();
    let (mut running, results) = Running::start_on(mesh, plan, engine.clone(), source(&project, engine), world).await;
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        screen::findings(&format!("error: {}: {refused}", refused.key()));
    }
    for finding in running.findings() {
        screen::findings(&format!("warning: {}: {}", finding.object, finding.message));
    }
    for problem in running.problems() {
        screen::findings(&format!("warning: {problem}"));
    }
    let urls = running.open(gateway.unwrap_or(arguments.gateway), sockets, report_door)?;
    let api_address = api.local_addr()?;
    let kubeconfig = Kubeconfig::write(&project, &running.serve_api(api)?, api_address)?;
    let pods = running.pods();
    if arguments.logs {
        follow_logs(&running);
    }
    // Before it is said that Ctrl-C stops it: until somebody listens, the signal kills.
    let mut signals = Signals::listen()?;
    summary(&pods, &urls, api_address, &kubeconfig, &suggestions, start);
    signals.next().await;

    screen::good(
        "Stopping",
        format_args!("waiting up to {} for requests under way; Ctrl-C again cuts them", seconds(GRACE)),
    );
    let drained = tokio::select! {
        drained = running.stop(GRACE) => drained,
        () = signals.next() => false
    };
    drop(kubeconfig);
    screen::good("Stopped", if drained { "all requests ended" } else { "some requests were cut" });
    Ok(())
}

/// A mesh that trusts whom the user trusts: where `SSL_CERT_FILE` names a file, its authorities take the place of those of
/// the web, as OpenSSL has it.
fn mesh(world: &World) -> Result<Mesh> {
    let mesh = Mesh::new(world.clone());
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from) {
        let name = || format!("SSL_CERT_FILE names {}", path.display());
        let authorities = std::fs::read(&path).with_context(name)?;
        mesh.trust(authorities).with_context(name)?;
    }
    Ok(mesh)
}

fn inputs(arguments: &Up, folder: &Path) -> Vec<Input> {
    let mut inputs: Vec<Input> = arguments.kustomize.iter().cloned().map(Input::Kustomize).collect();
    inputs.extend(arguments.filename.iter().cloned().map(Input::File));
    if inputs.is_empty() {
        inputs.push(Input::Kustomize(folder.join(DEFAULT_MANIFESTS)));
    }
    inputs
}

/// Keys are not in git: a fresh clone has none. They outlive this run, so that no seed of it may decide them.
fn make_keys(inputs: &[Input]) -> Result<()> {
    let is_keys = |path: &&PathBuf| path.file_name().is_some_and(|name| name == keys::FILE);
    for path in missing_resources(inputs).iter().filter(is_keys) {
        keys::generate(path, false, &World::real().chance.stream())?;
        screen::good("Made", format_args!("the key pair of auth in {} (git ignores it)", path.display()));
    }
    Ok(())
}

/// Says everything that was found; fails if something of it is an error.
fn report(diagnostics: &[Diagnostic]) -> Result<()> {
    let of = |severity| diagnostics.iter().filter(move |finding| finding.severity == severity);
    for severity in [Severity::Warning, Severity::Error] {
        for finding in of(severity) {
            screen::findings(&finding.to_string());
        }
    }
    match of(Severity::Error).count() {
        0 => {}
        1 => bail!("1 error in the manifests; nothing was started"),
        count => bail!("{count} errors in the manifests; nothing was started"),
    }
    // One line each: notes are for reading once.
    let rows: Vec<[String; 2]> = of(Severity::Note)
        .map(|finding| {
            let place = finding.location.as_ref().map(ToString::to_string).unwrap_or_default();
            [place, finding.message.clone()]
        })
        .collect();
    for line in table(&rows) {
        screen::findings(&format!("note: {line}"));
    }
    Ok(())
}

/// Binds the doors: the first to the gateway's address, the others to the ports after it. Node ports are not known yet.
fn bind(doors: &[Door], gateway: SocketAddr) -> Result<Vec<(Door, TcpListener)>> {
    let mut sockets = Vec::new();
    let mut next = gateway.port();
    for (index, door) in doors.iter().filter(|door| door.node_port.is_none()).enumerate() {
        let tries = if index == 0 { 0 } else { PORTS_TRIED };
        let socket = doors::bind(door, gateway.ip(), next, tries)
            .map_err(|(address, error)| cannot_listen(door, address, &error))?;
        let taken = socket.local_addr()?.port();
        next = if gateway.port() == 0 { 0 } else { taken.saturating_add(1) };
        sockets.push((door.clone(), socket));
    }
    Ok(sockets)
}

/// Binds the API to its address, or to any free port if it is taken: kubectl reads the port from the kubeconfig.
fn bind_api(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!(
            "the Kubernetes API listens on this machine alone, and {} is no loopback address\n  hint: `--api 127.0.0.1:6443`",
            address.ip()
        );
    }
    let result = doors::listen(address).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse => doors::listen(SocketAddr::new(address.ip(), 0)),
        _ => Err(error),
    });
    result.with_context(|| format!("cannot listen on {address} for the Kubernetes API"))
}

fn cannot_listen(door: &Door, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps another `malha up`; stop it, or choose another port: `malha up \
             --gateway {}:{}`",
            address.ip(),
            address.port().checked_add(1000).unwrap_or(9080),
        ),
        io::ErrorKind::PermissionDenied => "ports below 1024 belong to root; choose a higher one".into(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address; use 127.0.0.1".into(),
        _ => "choose another address with --gateway".into(),
    };
    anyhow!("cannot listen on {address} for {}: {error}\n  hint: {hint}", door.name)
}

/// The applications of the project that the plan runs, each once.
fn applications<'a>(plan: &Plan, project: &'a Project) -> Vec<&'a Application> {
    let images = plan.images();
    let names: BTreeSet<String> =
        images.keys().filter_map(|image| ImageName::parse(image)).map(|image| image.name).collect();
    names.iter().filter_map(|name| project.application(name)).collect()
}

/// Builds the images that this project can build, and looks for the others.
fn prepare_images(plan: &Plan, project: &Project, engine: &Engine) -> Result<()> {
    for (image, place) in plan.images() {
        let name = ImageName::parse(&image);
        let application = name.as_ref().and_then(|name| project.application(&name.name));
        match (name, application) {
            (Some(name), Some(application)) => {
                project.build(engine, application, Some(&name.version), &mut screen::build_progress())?;
            }
            (Some(name), None) if project.images().list().contains(&name) => {}
            _ => return Err(no_such_image(&image, place, project)),
        }
    }
    Ok(())
}

/// The project's images; one that is not there yet is built when a pod first asks for it.
fn source(project: &Arc<Project>, engine: Engine) -> Source {
    let builder = Arc::clone(project);
    Source::building(project.images().clone(), move |image| {
        let Some(application) = builder.application(&image.name) else { return Ok(()) };
        screen::good("Building", format_args!("{image}, which a pod asks for"));
        let built = builder.build(&engine, application, Some(&image.version), &mut screen::build_progress());
        built.map(drop).map_err(|error| format!("{error:#}"))
    })
}

fn no_such_image(image: &str, place: Option<malha_manifest::Location>, project: &Project) -> anyhow::Error {
    let there = project.images().list().iter().map(ToString::to_string).collect::<Vec<_>>();
    let there = if there.is_empty() { "none".into() } else { there.join(", ") };
    let finding = Diagnostic::error(format!("no such image: `{image}`"))
        .at(place)
        .help(format!("this project builds {}; images on this machine: {there}", project.builds()));
    anyhow!("{finding}")
}

/// Prints what pods log from now on, those that start later too, and their proxies where the mesh is told to
/// (`meshConfig.accessLogFile`).
fn follow_logs(running: &Running) {
    running.mesh().log_access(|workload, line| screen::log(&format!("{workload} istio-proxy"), line));
    let (pods, mut versions) = (running.pods_running(), running.cluster().versions());
    tokio::spawn(async move {
        let mut followed: Vec<Arc<Logs>> = Vec::new();
        loop {
            let now: Vec<Pod> = pods.lock().clone();
            followed.retain(|logs| now.iter().any(|pod| Arc::ptr_eq(pod.logs(), logs)));
            for pod in now {
                if !followed.iter().any(|logs| Arc::ptr_eq(pod.logs(), logs)) {
                    followed.push(Arc::clone(pod.logs()));
                    tokio::spawn(follow(pod.name().to_owned(), Arc::clone(pod.logs())));
                }
            }
            // Every pod that starts is a write.
            if versions.changed().await.is_err() {
                break;
            }
        }
    });
}

/// Prints a pod's log until it ends. A reader that is too slow misses lines; the pod never waits for it.
async fn follow(name: String, logs: Arc<Logs>) {
    let mut changes = logs.changes();
    let mut next = 0;
    loop {
        let page = logs.read(next);
        next = page.next;
        if page.missed > 0 {
            screen::log(&name, &format!("({} lines missed)", page.missed));
        }
        page.lines.iter().for_each(|line| screen::log(&name, &line.text));
        if page.ended || changes.changed().await.is_err() {
            break;
        }
    }
}

/// Where a door is, what it is, and whose.
fn row(door: &Door, address: SocketAddr) -> [String; 3] {
    let what = match (&door.entrance.kind, door.node_port) {
        (malha_routing::ListenerKind::Gateway, _) => "gateway",
        (malha_routing::ListenerKind::LoadBalancer { .. }, None) => "load balancer",
        (malha_routing::ListenerKind::LoadBalancer { .. }, Some(_)) => "node port",
    };
    [format!("{}://{address}", door.scheme), what.to_owned(), format!("{}:{}", door.name, door.entrance.port)]
}

/// Says what became of a door that an object opened or closed after the start.
fn report_door(turn: Turn) {
    match turn {
        // Every load balancer has node ports too, as in a cluster; they are in `kubectl get services`.
        Turn::Opened(door, _) | Turn::Closed(door) if door.node_port.is_some() => {}
        Turn::Opened(door, address) => screen::good("Opened", row(&door, address).join("  ")),
        Turn::Closed(door) => screen::good("Closed", format_args!("{}:{}", door.name, door.entrance.port)),
        Turn::Stuck(door, address, error) => {
            screen::findings(&format!("warning: {}", cannot_listen(&door, address, &error)));
        }
    }
}

fn summary(
    pods: &[PodRow],
    urls: &[(Door, SocketAddr)],
    api: SocketAddr,
    kubeconfig: &Kubeconfig,
    suggestions: &[String],
    start: Instant,
) {
    for pod in pods.iter().filter(|pod| !pod.ready) {
        let reason = pod.reason.as_deref().unwrap_or(&pod.phase);
        let message = pod.message.as_deref().unwrap_or_default();
        screen::findings(&format!("warning: pod {} is not ready: {reason}: {message}", pod.name));
    }
    let ready = pods.iter().filter(|pod| pod.ready).count();
    screen::good("Ready", format_args!("{ready} of {} pods in {}", pods.len(), seconds(start.elapsed())));
    screen::note("");
    let mut rows: Vec<[String; 3]> = urls.iter().map(|(door, address)| row(door, *address)).collect();
    rows.push([format!("https://{api}"), "kubernetes".to_owned(), "kubectl, see below".to_owned()]);
    for line in table(&rows) {
        screen::data(line);
    }
    if !suggestions.is_empty() {
        screen::note("\nTry:");
        for line in suggestions {
            screen::note(format_args!("  {line}"));
        }
    }
    screen::note("\nkubectl, in another terminal:");
    screen::note(format_args!("  {}", kubeconfig.export()));
    screen::note("\nCtrl-C stops it.");
}

/// Ctrl-C, and what a service manager sends.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self).context("cannot listen for Ctrl-C")
    }

    async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
