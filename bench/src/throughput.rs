//! Requests a second, and latencies, under `wrk`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Arguments;
use crate::servers::{self, Malha, Paths, Secrets, Server};
use crate::table::{self, median};

/// One line of the table.
struct Row {
    name: &'static str,
    /// Which of the servers.
    server: usize,
    path: &'static str,
    with_token: bool,
    runs: Vec<Load>,
    /// Microseconds on a processor a request, of each run.
    cpu: Vec<f64>,
}

/// What wrk said.
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

pub(crate) fn measure(arguments: &Arguments, paths: &Paths, secrets: &Secrets) -> Result<()> {
    let mut servers: Vec<Server> = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let wanted = |name: &str| name.contains(&arguments.only) || name.starts_with("raw");
    let mut add = |name, path, with_token, start: &dyn Fn() -> Result<Option<Server>>| -> Result<()> {
        if wanted(name)
            && let Some(server) = start()?
        {
            rows.push(Row { name, server: servers.len(), path, with_token, runs: Vec::new(), cpu: Vec::new() });
            servers.push(server);
        }
        Ok(())
    };
    add("raw hyper", "/", false, &|| servers::raw_hyper(paths).map(Some))?;
    add("hello: malha, gateway", "/", false, &|| Malha::hello(paths).map(Some))?;
    add("hello: wasmtime serve", "/", false, &|| servers::wasmtime_hello(paths, false).map(Some))?;
    add("hello: wasmtime serve, pooling", "/", false, &|| servers::wasmtime_hello(paths, true).map(Some))?;
    add("hello: spin up", "/", false, &|| servers::spin_hello(paths))?;
    add("/posts: malha, gateway", "/posts", true, &|| Malha::workshop(paths).map(|malha| Some(malha.0)))?;
    add("/posts: wasmtime serve", "/posts", true, &|| servers::wasmtime_posts(paths, secrets, false).map(Some))?;
    add("/posts: wasmtime serve, pooling", "/posts", true, &|| {
        servers::wasmtime_posts(paths, secrets, true).map(Some)
    })?;
    add("/composition: malha, gateway", "/composition", true, &|| Malha::workshop(paths).map(|malha| Some(malha.0)))?;

    for round in 0..=arguments.rounds {
        for row in &mut rows {
            let header = if row.with_token { &*secrets.header } else { "" };
            let server = &servers[row.server];
            let (address, cpu) = (server.address, server.cpu());
            // The round before the first warms up.
            let seconds = if round == 0 { 1 } else { arguments.seconds };
            let load = wrk(&format!("http://{address}{}", row.path), header, arguments.connections, seconds, None)
                .with_context(|| row.name)?;
            if round > 0 {
                row.cpu.push((server.cpu() - cpu) * 1e6 / load.requests);
                row.runs.push(load);
            }
        }
    }

    let raw = rows[0].runs.iter().map(|run| run.per_second).collect::<Vec<_>>();
    let lines = rows.iter().map(|row| {
        let runs = || row.runs.iter();
        // A ratio of the same round, so that a slow moment of the machine touches both of its sides.
        let ratio = median(runs().zip(&raw).map(|(run, raw)| run.per_second / raw));
        let all = runs().map(|run| format!("{:.0}", run.per_second)).collect::<Vec<_>>().join(" ");
        vec![
            row.name.to_owned(),
            format!("{:.0}", median(runs().map(|run| run.per_second))),
            format!("{ratio:.3}"),
            format!("{:.1}", median(row.cpu.iter().copied())),
            format!("{:.2}", median(runs().map(|run| run.p50))),
            format!("{:.2}", median(runs().map(|run| run.p99))),
            format!("{:.1}", servers[row.server].memory("VmRSS")),
            all,
        ]
    });
    table::print(
        &format!(
            "Throughput: wrk -t1 -c{} -d{}s, medians of {} interleaved rounds",
            arguments.connections, arguments.seconds, arguments.rounds
        ),
        &["server", "requests/s", "of raw", "CPU µs", "p50 ms", "p99 ms", "MB after", "rounds"],
        &lines.collect::<Vec<_>>(),
    );
    Ok(())
}

/// Loads `url`, from one core if there is one to say; an answer that is no success is an error, so that nobody measures
/// refusals.
pub(crate) fn wrk(url: &str, header: &str, connections: u32, seconds: u32, core: Option<&str>) -> Result<Load> {
    let mut command = Command::new(if core.is_some() { "taskset" } else { "wrk" });
    if let Some(core) = core {
        command.args(["-c", core, "wrk"]);
    }
    command.args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    if !header.is_empty() {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "not all went well:\n{text}");
    let field = |name: &str| {
        let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(name)).map(str::trim);
        line.with_context(|| format!("wrk said nothing of {name}:\n{text}"))
    };
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")).map(|(count, _)| count);
    Ok(Load {
        requests: requests.context("wrk counted no requests")?.parse()?,
        per_second: field("Requests/sec:")?.parse()?,
        p50: milliseconds(field("50%")?)?,
        p99: milliseconds(field("99%")?)?,
        // Average, standard deviation, maximum.
        max: milliseconds(field("Latency  ")?.split_whitespace().nth(2).context("wrk said no maximum")?)?,
    })
}

/// `1.23ms`, `456.00us`, `1.02s`
fn milliseconds(text: &str) -> Result<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = found.with_context(|| format!("{text} is no time of wrk"))?;
    Ok(number.parse::<f64>()? * factor)
}
