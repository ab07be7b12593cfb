//! Ten thousand clients that do nothing.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{connect, serves, start};

const CLIENTS: usize = 10_000;

/// Files that a process has open besides its connections, amply.
const OTHER_FILES: usize = 300;

/// What a client may cost that has said nothing; every tenth has said something.
const BYTES: usize = 8 << 10;

/// Where the clients of [`hold_connections`] go.
const ADDRESS: &str = "MALHA_TEST_IDLE_ADDRESS";

/// Bytes of memory that this process uses.
fn memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// How many connections this process may have.
fn allowed() -> usize {
    let Ok(text) = std::fs::read_to_string("/proc/self/limits") else { return 0 };
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    files.saturating_sub(OTHER_FILES)
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little_and_others_are_served() {
    if allowed() < CLIENTS {
        eprintln!("NOT TESTED: {CLIENTS} idle connections need as many open files (Linux, ulimit -n)");
        return;
    }
    let server = start().await;
    assert!(serves(server.address()).await);
    let before = memory();
    // The other ends are in a process of their own: what they cost does not count.
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args(["idle::hold_connections", "--exact", "--nocapture"])
        .env(ADDRESS, server.address().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = clients.stdout.take().unwrap();
    while !said.contains("all there") {
        let mut bytes = [0; 256];
        let some = output.read(&mut bytes).await.unwrap();
        assert!(some > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..some]));
    }
    assert!(serves(server.address()).await, "others wait");
    let cost = memory().saturating_sub(before) / CLIENTS;
    assert!(cost < BYTES, "{cost} bytes for each of {CLIENTS}");
    drop(clients.stdin.take());
    // What it still has to say has to go somewhere.
    output.read_to_string(&mut said).await.unwrap();
    assert!(clients.wait().await.unwrap().success(), "{said}");
}

/// The clients of the test above, when it starts this program again; otherwise nothing.
#[tokio::test]
async fn hold_connections() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let address: SocketAddr = address.parse().unwrap();
    let mut clients = Vec::with_capacity(CLIENTS);
    for at in 0..CLIENTS {
        let mut client = connect(address).await;
        // Every tenth has begun a request.
        if at % 10 == 0 {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a").await.unwrap();
        }
        clients.push(client);
        // The system keeps only so many that nobody has accepted.
        if at % 50 == 0 {
            assert!(serves(address).await);
        }
    }
    println!("all there");
    let _ = tokio::io::stdin().read(&mut [0]).await;
}
