//! Measures malha beside its peers: `bench/run` builds what this needs and starts it.
//!
//! | module | what it measures |
//! | --- | --- |
//! | `proxy` | the gateway beside a real Envoy, without guests; and snapshots that are swapped under load |
//! | `throughput` | requests a second and latencies under `wrk`, all servers in turn, round by round |
//! | `start` | from exec to the first 200 |
//! | `memory` | resident memory with 4 and with 400 pods, idle and after load |
//! | `servers` | how each peer is started, and found ready |
//!
//! All times here are real ones: that is what a benchmark is for.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time, and waits for other processes")]
#![expect(clippy::print_stdout, reason = "the tables are the output")]

mod memory;
mod proxy;
mod servers;
mod start;
mod table;
mod throughput;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use servers::{Malha, Paths};

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The gateway without guests beside a real Envoy
    Proxy,
    /// Requests a second and latencies
    Throughput,
    /// Time from exec to the first 200
    Start,
    /// Resident memory
    Memory,
}

/// Measures malha beside its peers. All servers run on this machine, on ports of its loopback that are free.
#[derive(Debug, Parser)]
#[command(name = "bench/run")]
struct Arguments {
    /// What to measure [default: all of it]
    #[arg(value_enum)]
    what: Vec<What>,

    /// Rounds; in each, every server has its turn, and the table shows the medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Seconds of load a turn
    #[arg(long, default_value_t = 8)]
    seconds: u32,

    /// Connections of wrk
    #[arg(long, default_value_t = 32)]
    connections: u32,

    /// Starts to time
    #[arg(long, default_value_t = 15)]
    starts: usize,

    /// Only servers whose name has this in it
    #[arg(long, default_value = "")]
    only: String,

    /// Cargo's target folder
    #[arg(long, default_value = "target")]
    target: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0 && arguments.starts > 0, "one round and one start is the least");
    let wants = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    let paths = Paths::new(&arguments.target)?;

    if wants(What::Proxy) {
        proxy::measure(&arguments, &paths)?;
    }
    if arguments.what == [What::Proxy] {
        return Ok(());
    }
    // Images first: no start that is timed may build anything.
    let secrets = {
        drop(Malha::hello(&paths)?);
        let malha = Malha::workshop(&paths)?;
        malha.secrets(&paths).context("cannot get a token from malha's auth")?
    };
    if wants(What::Throughput) {
        throughput::measure(&arguments, &paths, &secrets)?;
    }
    if wants(What::Start) {
        start::measure(&arguments, &paths, &secrets)?;
    }
    if wants(What::Memory) {
        memory::measure(&arguments, &paths, &secrets)?;
    }
    Ok(())
}
