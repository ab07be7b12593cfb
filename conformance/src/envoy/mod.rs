//! A real Envoy, one process for all cases: a listener for each port of each case, and clusters of its own for each.
//!
//! It is found by the variable `ENVOY`, or on the `PATH`. What it is configured with is what Istio's Pilot would send
//! it for the same objects (`pilot/pkg/networking/core`), as a static bootstrap.

mod authorization;
mod clusters;
mod listeners;
mod objects;
mod routes;
mod tls;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::client::Connection;
use crate::side::{Prepared, Side};
use objects::Objects;

/// What the cases were measured with, and what `.ci/run` installs.
pub const VERSION: &str = "1.40.0";

/// The access log of all listeners.
const LOG: &str = "access.log";

/// How long Envoy may take to listen. Alone it takes 0.2 s.
const START: Duration = Duration::from_mins(1);

/// The program: `ENVOY`, or `envoy` on the `PATH`.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("envoy")).find(|program| program.is_file())
}

/// An Envoy that runs. It is killed when this is dropped.
pub struct Envoy {
    _process: Child,
    folder: TempDir,
    /// By case and port of its manifests.
    listeners: BTreeMap<String, SocketAddr>,
}

impl Side for Envoy {
    fn entrance(&self, case: &str, port: u16) -> Option<SocketAddr> {
        self.listeners.get(&name(case, port)).copied()
    }

    fn flags(&self) -> Result<BTreeMap<(String, String), String>> {
        let text = std::fs::read_to_string(self.folder.path().join(LOG))?;
        let line = |line: &str| {
            let mut parts = line.split('\t').map(str::to_owned);
            Some(((parts.next()?, parts.next()?), parts.next()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }
}

impl Envoy {
    /// Starts one with the configuration of all these cases.
    pub async fn start(program: &Path, cases: &[Prepared<'_>]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [configuration, log, admin] = ["bootstrap.json", "log", "admin"].map(|name| folder.path().join(name));
        std::fs::write(&configuration, bootstrap(cases, &folder.path().join(LOG))?.to_string())?;
        let mut process = Command::new(program)
            .arg("--config-path")
            .arg(&configuration)
            .arg("--admin-address-path")
            .arg(&admin)
            .arg("--log-path")
            .arg(&log)
            .args([
                "--log-level",
                "error",
                "--concurrency",
                "1",
                "--use-dynamic-base-id",
                "--file-flush-interval-msec",
                "50",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let begin = Instant::now();
        loop {
            if let Some(status) = process.try_wait()? {
                return Err(Self::blame(program, cases, &log, status).await);
            }
            if let Some(listeners) = listening(&admin).await {
                return Ok(Self { _process: process, folder, listeners });
            }
            if begin.elapsed() > START {
                bail!("Envoy does not listen after {START:?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Which case it is whose configuration Envoy refuses.
    async fn blame(
        program: &Path,
        cases: &[Prepared<'_>],
        log: &Path,
        status: std::process::ExitStatus,
    ) -> anyhow::Error {
        if let [only] = cases {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return anyhow::anyhow!("{}: Envoy ends with {status}: {log}", only.case.id);
        }
        for case in cases {
            if let Err(error) = Box::pin(Self::start(program, std::slice::from_ref(case))).await {
                return error;
            }
        }
        anyhow::anyhow!("Envoy ends with {status}, although it takes each case alone")
    }
}

fn name(case: &str, port: u16) -> String {
    format!("{case}:{port}")
}

/// The addresses of all listeners, once Envoy is ready.
async fn listening(admin: &Path) -> Option<BTreeMap<String, SocketAddr>> {
    let address = std::fs::read_to_string(admin).ok()?.trim().parse().ok()?;
    let mut connection = Connection::open(address).await.ok()?;
    let ready = connection.send(b"GET /ready HTTP/1.1\r\nhost: admin\r\n\r\n", false).await.ok()?;
    if ready.status != 200 {
        return None;
    }
    let answer = connection.send(b"GET /listeners?format=json HTTP/1.1\r\nhost: admin\r\n\r\n", false).await.ok()?;
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    let statuses = value["listener_statuses"].as_array().cloned().unwrap_or_default();
    let address = |status: &Value| {
        let socket = &status["local_address"]["socket_address"];
        let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
        Some((status["name"].as_str()?.to_owned(), SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port)))
    };
    statuses.iter().map(address).collect()
}

fn bootstrap(cases: &[Prepared<'_>], log: &Path) -> Result<Value> {
    let mut listeners = Vec::new();
    let mut all = Vec::new();
    for prepared in cases {
        let objects = Objects::new(prepared);
        let mut build = || -> Result<()> {
            for port in objects.ports() {
                listeners.push(listeners::listener(&objects, port, log)?);
            }
            all.append(&mut clusters::clusters(&objects)?);
            Ok(())
        };
        build().with_context(|| prepared.case.id.clone())?;
    }
    Ok(json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": listeners, "clusters": all},
    }))
}
