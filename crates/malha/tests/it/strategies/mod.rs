//! Release strategies as they are shipped in `k8s/strategies/`: what each README says to type is typed, line by line, while
//! clients ask without a pause, and every answer is counted.
//!
//! Where a strategy promises something, it is exact: none lost, one switch, one copy of each. Where chance decides, a count
//! may be six standard deviations from what is expected, as in `steps`.

mod ab_header;
mod blue_green;
mod canary_replicas;
mod canary_weight;
mod feature_toggle;
mod files;
mod load;
mod recreate;
mod rolling;
mod shadow;
mod stage;
mod typed;

use load::Seen;

/// The versions of relay that the strategies release: the one that runs, and the next.
const VERSIONS: [&str; 2] = ["0.0.1", "0.0.2"];

/// Claims that of `n` answers, each with probability `p` of being such, a believable number was.
#[track_caller]
fn assert_share(count: usize, n: usize, p: f64) {
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let (count, n) = (count as f64, n as f64);
    let deviation = (n * p * (1.0 - p)).sqrt();
    assert!((count - n * p).abs() <= 6.0 * deviation, "{count} of {n}, not {p}");
    // Six deviations say nothing if they are as wide as all that there is.
    assert!(6.0 * deviation < n * p, "{n} answers are too few");
}

/// Claims that none of these requests was lost.
#[track_caller]
fn assert_none_lost(seen: &[Seen]) {
    let lost: Vec<_> = seen.iter().filter(|seen| seen.status != 200).collect();
    assert!(lost.is_empty(), "{} of {} lost, such as {:?}", lost.len(), seen.len(), lost[0]);
    assert!(!seen.is_empty());
}

/// Claims that all of these were answered well, and by one version.
#[track_caller]
fn assert_all_of(version: &str, seen: &[Seen]) {
    assert_none_lost(seen);
    assert_eq!(
        of(version, seen),
        seen.len(),
        "not all are {version}: {:?}",
        seen.iter().find(|seen| !seen.is(version))
    );
}

/// How many of these a version answered.
fn of(version: &str, seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.is(version)).count()
}
