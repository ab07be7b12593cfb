//! The lines that `docs/workshop.md` gives to type: they lead somewhere, and the answer is one that its section speaks of.

use std::fs;

use crate::support::{Call, Cluster, Manifests, get};

const WORKSHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/workshop.md");

/// The file of a step, and the statuses that its requests may have.
const STEPS: [(&str, &[u16]); 8] = [
    ("04-retry.yml", &[200, 502, 503, 504]),
    ("05-shifting.yml", &[200]),
    ("06-fault.yml", &[200, 500]),
    ("07-circuit-breaker.yml", &[200, 502, 503, 504]),
    ("08-mirror.yml", &[200]),
    ("09-header-routing.yml", &[200]),
    ("10-security.yml", &[200, 401, 403]),
    ("11-resistance.yml", &[200]),
];

/// The sections of the steps: the file that each names, and its lines.
fn sections() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(WORKSHOP).unwrap();
    let sections = text.split("\n## ").filter(|section| section.starts_with(|first: char| first.is_ascii_digit()));
    sections
        .map(|section| {
            let (_, after) = section.split_once("-f k8s/").unwrap();
            let file = after.split('`').next().unwrap().to_owned();
            // Every other part is between fences.
            let lines = section.split("```").skip(1).step_by(2).flat_map(str::lines);
            (file, lines.map(str::trim).filter(|line| line.contains("$GATEWAY/")).map(ToOwned::to_owned).collect())
        })
        .collect()
}

/// What a line asks the gateway for: how often, and the request. Whoever asks for a token is not among them.
fn asked(line: &str) -> Option<(usize, Call)> {
    let path = line.split("$GATEWAY").nth(1)?.split([' ', ';']).next()?;
    if path == "/auth" {
        return None;
    }
    let mut words = line.split_whitespace();
    let times = if words.next() == Some("ask") { words.next()?.parse().ok()? } else { 1 };
    let mut call = get(path);
    let headers = line.split("-H ").skip(1).map(|rest| rest[1..].split(&rest[..1]).next().unwrap());
    for (name, value) in headers.filter_map(|header| header.split_once(": ")) {
        let value = value.replace("$TOKEN", &Cluster::admin()).replace("$NOCOMMENTS", &Cluster::nocomments());
        call = call.header(name, value);
    }
    // The function of the document adds it.
    let bearer = line.starts_with("ask");
    Some((times, if bearer { call.bearer(Cluster::admin()) } else { call }))
}

#[tokio::test(start_paused = true)]
async fn every_line_gets_an_answer_that_its_section_speaks_of() {
    let sections = sections();
    let files: Vec<_> = sections.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, STEPS.map(|(file, _)| file));
    for ((file, statuses), (_, lines)) in STEPS.into_iter().zip(&sections) {
        let cluster = Manifests::step(file).start().await;
        let mut requests = 0;
        for (times, call) in lines.iter().filter_map(|line| asked(line)) {
            for _ in 0..times {
                let answer = cluster.gateway(call.clone()).await;
                assert!(statuses.contains(&answer.status), "{file} {call:?}: {} {}", answer.status, answer.text());
                requests += 1;
            }
        }
        assert!(requests > 0, "{file}: {lines:?}");
    }
}
