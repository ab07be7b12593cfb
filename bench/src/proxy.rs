//! The gateway beside a real Envoy: the same rules, one worker thread each, no guest.
//!
//! `bench/proxy/` has the mesh as manifests and as what Istio's Pilot makes of them. The proxies have their turns in each
//! round; whose turn it is not is stopped. Where there is a `taskset` and more than one core, the proxies have one core
//! to themselves, and wrk and the upstream another. A turn in which other programs took too much of the processors is
//! taken again: whether it counts is decided by that alone, not by what came of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::Arguments;
use crate::servers::{self, Paths, Server, free_address, get};
use crate::table::{self, median};
use crate::throughput::{Load, wrk};

/// Snapshots a second, where they are swapped under load.
const SWAPS: u32 = 200;

/// What is asked for.
const PATHS: [(&str, &str); 2] = [("direct response", "/direct"), ("hyper upstream", "/")];

/// Cores: of the proxies, and of all else.
const PROXY: &str = "0";
const OTHERS: &str = "1";

/// What others may take in a turn, as a part of one core.
const DISTURBED: f64 = 0.05;

/// How often a turn that others disturb is taken again, at most.
const PATIENCE: usize = 8;

struct Row {
    name: String,
    server: usize,
    path: &'static str,
    turns: Vec<Turn>,
}

/// One server under load.
struct Turn {
    load: Load,
    /// Microseconds on a processor for a request.
    cpu: f64,
    /// What others had of the processors meanwhile, as a part of one core.
    others: f64,
}

/// What is there to be measured.
struct Bench {
    servers: Vec<(&'static str, Server)>,
    upstream: Server,
    connections: u32,
    /// wrk's core.
    core: Option<&'static str>,
}

pub(crate) fn measure(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let pin = Command::new("taskset").args(["-c", OTHERS, "true"]).status().is_ok_and(|status| status.success());
    if !pin {
        println!("\nskipped: keeping the proxies on a core of their own needs `taskset` and two cores");
    }
    let at = free_address()?;
    let mut upstream = pinned(pin, OTHERS, &paths.release("raw-hyper"));
    let upstream = Server::start(upstream.arg(at.to_string()).env("TOKIO_WORKER_THREADS", "1"), at, "/", "")?;

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
    let swapping = servers.len() - 1;

    let mut rows = Vec::new();
    for (what, path) in PATHS {
        for (server, (name, _)) in servers.iter().enumerate() {
            rows.push(Row { name: format!("{what}: {name}"), server, path, turns: Vec::new() });
        }
    }
    rows.retain(|row| row.name.contains(&arguments.only));
    let core = if pin { Some(OTHERS) } else { None };
    let bench = Bench { servers, upstream, connections: arguments.connections, core };
    for (_, server) in &bench.servers {
        server.signal("STOP")?;
    }
    let (mut swapped, mut requests) = (0, 0.0);
    for round in 0..=arguments.rounds {
        for row in &mut rows {
            let (_, server) = &bench.servers[row.server];
            server.signal("CONT")?;
            // The round before the first warms up.
            if round == 0 {
                bench.turn(row, 1)?;
            } else {
                let before = snapshots(server)?;
                let turn = bench.undisturbed(row, arguments.seconds)?;
                if row.server == swapping {
                    swapped += snapshots(server)? - before;
                    requests += turn.load.requests;
                }
                row.turns.push(turn);
            }
            server.signal("STOP")?;
        }
    }
    print(arguments, &rows, pin);
    if swapped > 0 {
        println!("\nSnapshots swapped in under load: {swapped}. Requests meanwhile: {requests}; none failed.");
    }
    Ok(())
}

/// How many snapshots the server that swaps has swapped in; its direct response tells.
fn snapshots(server: &Server) -> Result<u32> {
    let (_, body) = get(server.address, "/direct", "")?;
    Ok(body.trim().trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or_default())
}

impl Bench {
    /// The first turn that others did not disturb, or the one that they disturbed least.
    fn undisturbed(&self, row: &Row, seconds: u32) -> Result<Turn> {
        let mut best = self.turn(row, seconds)?;
        for _ in 1..PATIENCE {
            if best.others <= DISTURBED {
                break;
            }
            let turn = self.turn(row, seconds)?;
            if turn.others < best.others {
                best = turn;
            }
        }
        Ok(best)
    }

    fn turn(&self, row: &Row, seconds: u32) -> Result<Turn> {
        let (_, server) = &self.servers[row.server];
        let own = || server.cpu() + self.upstream.cpu() + servers::own_cpu();
        let url = format!("http://{}{}", server.address, row.path);
        let (busy, own_before, cpu, start) = (servers::busy(), own(), server.cpu(), Instant::now());
        let load = wrk(&url, "", self.connections, seconds, self.core).with_context(|| row.name.clone())?;
        let others = (servers::busy() - busy) - (own() - own_before);
        let cpu = (server.cpu() - cpu) * 1e6 / load.requests;
        Ok(Turn { load, cpu, others: others.max(0.0) / start.elapsed().as_secs_f64() })
    }
}

fn print(arguments: &Arguments, rows: &[Row], pin: bool) {
    let lines = rows.iter().map(|row| {
        let runs = || row.turns.iter().map(|turn| &turn.load);
        // The other side of each ratio is the row of Envoy and the same path, in the same round.
        let envoy = rows.iter().find(|other| other.path == row.path && other.name.ends_with("Envoy"));
        let ratio = |of: fn(&Load) -> f64| match envoy {
            Some(envoy) => {
                format!("{:.2}", median(runs().zip(&envoy.turns).map(|(own, other)| of(own) / of(&other.load))))
            }
            None => "-".to_owned(),
        };
        vec![
            row.name.clone(),
            format!("{:.0}", median(runs().map(|run| run.per_second))),
            ratio(|run| run.per_second),
            format!("{:.1}", median(row.turns.iter().map(|turn| turn.cpu))),
            format!("{:.2}", median(runs().map(|run| run.p50))),
            format!("{:.2}", median(runs().map(|run| run.p99))),
            ratio(|run| run.p99),
            format!("{:.1}", runs().map(|run| run.max).fold(0.0, f64::max)),
            format!("{:.0} %", 100.0 * row.turns.iter().map(|turn| turn.others).fold(0.0, f64::max)),
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
        &["", "requests/s", "of Envoy", "CPU µs", "p50 ms", "p99 ms", "of Envoy's", "max ms", "others", "rounds"],
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
