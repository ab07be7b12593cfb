//! From exec to the first 200.

use anyhow::{Context, Result};

use crate::Arguments;
use crate::servers::{self, Paths, Secrets, Start, free_address, malha_command, time_start};
use crate::table::{self, least, median};

/// Starts a server once, and times it.
type Run<'a> = &'a dyn Fn() -> Result<Start>;

pub(crate) fn measure(arguments: &Arguments, paths: &Paths, secrets: &Secrets) -> Result<()> {
    let hello = || {
        let (command, address) = malha_command(paths, &paths.hello(), &["-k", "k8s"])?;
        time_start(command, address, "/", "")
    };
    let workshop = || {
        let (command, address) = malha_command(paths, &paths.root, &["-k", "k8s"])?;
        time_start(command, address, "/posts", &secrets.header)
    };
    let wasmtime = || {
        let address = free_address()?;
        time_start(servers::wasmtime_hello_command(paths, address), address, "/", "")
    };
    let all: [(&str, Run<'_>); 3] = [
        ("malha up, hello, `/`", &hello),
        ("malha up, the four services of k8s/, `/posts` with a token", &workshop),
        ("wasmtime serve -C cache=y, hello, `/`", &wasmtime),
    ];
    let mut starts: [Vec<Start>; 3] = Default::default();
    // The first of each fills the caches of the file system, and wasmtime's own.
    for round in 0..=arguments.starts {
        for ((name, run), starts) in all.iter().zip(&mut starts) {
            let start = run().with_context(|| (*name).to_owned())?;
            if round > 0 {
                starts.push(start);
            }
        }
    }
    let rows = all.iter().zip(&starts).map(|((name, _), starts)| {
        let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let first = || starts.iter().map(|start| millis(start.first));
        let ready = || starts.iter().filter_map(|start| start.ready.map(millis));
        let both = |least: f64, median: f64| {
            if median.is_nan() { "-".to_owned() } else { format!("{least:.1} / {median:.1}") }
        };
        vec![(*name).to_owned(), both(least(ready()), median(ready())), both(least(first()), median(first()))]
    });
    table::print(
        &format!("Start: from exec, milliseconds, least / median of {}", arguments.starts),
        &["server", "says that it is ready", "first 200"],
        &rows.collect::<Vec<_>>(),
    );
    Ok(())
}
