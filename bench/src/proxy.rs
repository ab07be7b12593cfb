//! The gateway beside a real Envoy: the same rules, one worker thread each, no guest.
//!
//! `bench/proxy/` has the mesh as manifests and as what Istio's Pilot makes of them. Both proxies run all the time and
//! have their turns in each round. Where there is a `taskset` and more than one core, the proxies have one core to
//! themselves, and wrk and the upstream another.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Arguments;
use crate::servers::{Paths, Server, free_address, get};
use crate::table::{self, median};
use crate::throughput::{Load, wrk};

/// Snapshots a second, where they are swapped under load.
const SWAPS: u32 = 200;

/// What is asked for.
const PATHS: [(&str, &str); 2] = [("direct response", "/direct"), ("hyper upstream", "/")];

/// Cores: of the proxies, and of all else.
const PROXY: &str = "0";
const OTHERS: &str = "1";

struct Row {
    name: String,
    server: usize,
    path: &'static str,
    runs: Vec<Load>,
    cpu: Vec<f64>,
}

pub(crate) fn measure(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let pin = Command::new("taskset").args(["-c", OTHERS, "true"]).status().is_ok_and(|status| status.success());
    if !pin {
        println!("\nskipped: keeping the proxies on a core of their own needs `taskset` and two cores");
    }
    let at = free_address()?;
    let mut upstream = pinned(pin, OTHERS, &paths.release("raw-hyper"));
    let upstream_server = Server::start(upstream.arg(at.to_string()).env("TOKIO_WORKER_THREADS", "1"), at, "/", "")?;

    let manifests = paths.fill("mesh.yml", &[("9000", at.port())])?;
    let malha = |swaps: u32| {
        let address = free_address()?;
        let mut command = pinned(pin, PROXY, &paths.release("gateway"));
        command.arg(address.to_string()).arg(&manifests).arg(swaps.to_string());
        Server::start(&mut command, address, "/direct", "")
    };
    let mut servers = vec![("malha", malha(0)?)];
    match envoy() {
        Some(envoy) => servers.push(("Envoy", start_envoy(&envoy, pin, paths, at.port())?)),
        None => println!("\nskipped: no Envoy to compare with; ENVOY names it, or PATH has it (conformance/README.md)"),
    }
    servers.push(("malha, swapping", malha(SWAPS)?));

    let mut rows = Vec::new();
    for (what, path) in PATHS {
        for (server, (name, _)) in servers.iter().enumerate() {
            rows.push(Row { name: format!("{what}: {name}"), server, path, runs: Vec::new(), cpu: Vec::new() });
        }
    }
    rows.retain(|row| row.name.contains(&arguments.only));
    let swapping = &servers.last().context("there are servers")?.1;
    let turn = || -> Result<u32> {
        let (_, body) = get(swapping.address, "/direct", "")?;
        Ok(body.trim().trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or_default())
    };
    let (mut swapped, mut seconds_swapped) = (0, 0);
    for round in 0..=arguments.rounds {
        for row in &mut rows {
            let (_, server) = &servers[row.server];
            let cpu = server.cpu();
            // The round before the first warms up.
            let seconds = if round == 0 { 1 } else { arguments.seconds };
            let url = format!("http://{}{}", server.address, row.path);
            let core = if pin { Some(OTHERS) } else { None };
            let before = turn()?;
            let load = wrk(&url, "", arguments.connections, seconds, core).with_context(|| row.name.clone())?;
            if round > 0 {
                row.cpu.push((server.cpu() - cpu) * 1e6 / load.requests);
                row.runs.push(load);
                if row.server + 1 == servers.len() {
                    swapped += turn()? - before;
                    seconds_swapped += seconds;
                }
            }
        }
    }
    print(arguments, &rows, pin);
    if seconds_swapped > 0 {
        println!("\nSnapshots swapped in under load: {swapped} in {seconds_swapped} s; no request failed.");
    }
    drop(upstream_server);
    Ok(())
}

fn print(arguments: &Arguments, rows: &[Row], pin: bool) {
    let lines = rows.iter().map(|row| {
        let runs = || row.runs.iter();
        // The other side of each ratio is the row of Envoy and the same path, in the same round.
        let envoy = rows.iter().find(|other| other.path == row.path && other.name.ends_with("Envoy"));
        let ratio = |of: fn(&Load) -> f64| match envoy {
            Some(envoy) => format!("{:.2}", median(runs().zip(&envoy.runs).map(|(own, other)| of(own) / of(other)))),
            None => "-".to_owned(),
        };
        vec![
            row.name.clone(),
            format!("{:.0}", median(runs().map(|run| run.per_second))),
            ratio(|run| run.per_second),
            format!("{:.1}", median(row.cpu.iter().copied())),
            format!("{:.2}", median(runs().map(|run| run.p50))),
            format!("{:.2}", median(runs().map(|run| run.p99))),
            ratio(|run| run.p99),
            format!("{:.1}", median(runs().map(|run| run.max))),
            runs().map(|run| format!("{:.0}", run.per_second)).collect::<Vec<_>>().join(" "),
        ]
    });
    table::print(
        &format!(
            "Proxies with one worker thread: wrk -t1 -c{} -d{}s, medians of {} interleaved rounds, {}",
            arguments.connections,
            arguments.seconds,
            arguments.rounds,
            if pin { "proxies on one core, wrk and upstream on the other" } else { "no core is anybody's" },
        ),
        &["", "requests/s", "of Envoy", "CPU µs", "p50 ms", "p99 ms", "of Envoy's", "max ms", "rounds"],
        &lines.collect::<Vec<_>>(),
    );
}

/// `program` on one core, if that can be had.
fn pinned(pin: bool, core: &str, program: &PathBuf) -> Command {
    if pin {
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// The program that `ENVOY` names, or that of the `PATH`.
fn envoy() -> Option<PathBuf> {
    let program = std::env::var_os("ENVOY").map_or_else(|| "envoy".into(), PathBuf::from);
    let runs = Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success());
    runs.then_some(program)
}

fn start_envoy(envoy: &PathBuf, pin: bool, paths: &Paths, upstream: u16) -> Result<Server> {
    let address = free_address()?;
    let config = paths.fill("envoy.yml", &[("\"PORT\"", address.port()), ("\"UPSTREAM_PORT\"", upstream)])?;
    let mut command = pinned(pin, PROXY, envoy);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"]).arg(config);
    Server::start(&mut command, address, "/direct", "")
}

impl Paths {
    /// A file of `bench/proxy` with ports in the place of words.
    fn fill(&self, name: &str, ports: &[(&str, u16)]) -> Result<PathBuf> {
        let mut text = fs::read_to_string(self.root.join("bench/proxy").join(name))?;
        for (word, port) in ports {
            ensure!(text.contains(word), "bench/proxy/{name} has no {word}");
            text = text.replace(word, &port.to_string());
        }
        let filled = self.target.join(name);
        fs::write(&filled, text)?;
        Ok(filled)
    }
}
