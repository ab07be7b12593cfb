//! Resident memory.

use anyhow::{Result, ensure};

use crate::Arguments;
use crate::servers::{Malha, Paths, Secrets, Server, get, request};
use crate::table;
use crate::throughput::wrk;

/// What the gateway leads to.
const PATHS: [&str; 3] = ["/posts", "/comments", "/composition"];

/// Seconds of load on each.
const SECONDS: u32 = 5;

/// Requests one after the other that reach nearly all of 400 pods: each is missed with a probability of e^-10.
const REACHING: usize = 4_000;

pub(crate) fn measure(arguments: &Arguments, paths: &Paths, secrets: &Secrets) -> Result<()> {
    let mut rows = Vec::new();
    let mut note = |what: &str, server: &Server| {
        let memory = |field: &str| format!("{:.1}", server.memory(field));
        rows.push(vec![what.to_owned(), memory("VmRSS"), memory("RssAnon"), memory("RssFile"), memory("VmHWM")]);
    };
    let each = |server: &Server| -> Result<()> {
        for path in PATHS {
            let (status, _) = get(server.address, path, &secrets.header)?;
            ensure!(status == 200, "{path} answers {status}");
        }
        request(server.address, "POST", "/auth", "authorization: Basic YWRtaW46YWRtaW4=").map(drop)
    };

    let hello = Malha::hello(paths)?;
    note("hello, 1 pod, after a request", &hello);
    wrk(&format!("http://{}/", hello.address), "", arguments.connections, SECONDS, None)?;
    note("hello, after load", &hello);
    drop(hello);

    let four = Malha::workshop(paths)?.0;
    each(&four)?;
    note("4 pods, after a request to each", &four);
    for path in PATHS {
        wrk(&format!("http://{}{path}", four.address), &secrets.header, arguments.connections, SECONDS, None)?;
        note(&format!("4 pods, after load on {path}"), &four);
    }
    drop(four);

    let many = Malha::workshop_of_400(paths)?.0;
    note("400 pods, after the first request", &many);
    each(&many)?;
    for _ in 0..REACHING {
        ensure!(get(many.address, "/posts", &secrets.header)?.0 == 200, "/posts failed");
    }
    note(&format!("400 pods, after {REACHING} requests to /posts, one at a time"), &many);
    for path in PATHS {
        wrk(&format!("http://{}{path}", many.address), &secrets.header, arguments.connections, SECONDS, None)?;
        note(&format!("400 pods, after load on {path}"), &many);
    }
    table::print(
        &format!("Memory: megabytes of 10^6 bytes; load is wrk -t1 -c{} -d{SECONDS}s", arguments.connections),
        &["malha", "resident", "of it anonymous", "of it files", "peak"],
        &rows,
    );
    Ok(())
}
