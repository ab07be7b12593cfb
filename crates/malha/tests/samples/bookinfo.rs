//! The tasks "Request Routing", "Traffic Shifting" and "Fault Injection" of Istio's documentation.

use std::collections::BTreeMap;
use std::fs;

use malha_manifest::parse_manifests;

use crate::mesh::{Answer, Sample, samples};

const ALL: &str = "destination-rule-all-mtls.yaml";
const REVIEWS: &str = "http://reviews:9080/reviews/0";
const RATINGS: &str = "http://ratings:9080/ratings/0";
const DETAILS: &str = "http://details:9080/details/0";

/// An answer of a Deployment's pod.
fn of(deployment: &str) -> Answer {
    Answer { status: 200, body: deployment.to_owned() }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.to_owned() }
}

#[test]
fn every_sample_loads() {
    let Some(folder) = samples() else { return };
    let mut count = 0;
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let loaded = parse_manifests(&file.display().to_string(), &fs::read_to_string(&file).unwrap());
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|found| found.is_error()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert!(!loaded.objects.is_empty(), "{}", file.display());
        count += 1;
    }
    assert!(count >= 13, "{} has {count} files", folder.display());
}

/// Files, a path, who asks, and what comes.
type RouteCase = (&'static [&'static str], &'static str, Option<&'static str>, (u16, &'static str));

/// Files, and the share of each version.
type ShareCase = (&'static [&'static str], &'static [(&'static str, f64)]);

/// Who answers whom: the files beside bookinfo's own, the URL, the user, and the only answer.
const ROUTES: &[RouteCase] = &[
    // "Configure Istio to route to v2 if the request has the header end-user: jason".
    (&[ALL, "virtual-service-reviews-test-v2.yaml"], REVIEWS, Some("jason"), (200, "reviews-v2")),
    (&[ALL, "virtual-service-reviews-test-v2.yaml"], REVIEWS, Some("Jason"), (200, "reviews-v1")),
    (&[ALL, "virtual-service-reviews-test-v2.yaml"], REVIEWS, None, (200, "reviews-v1")),
    (&[ALL, "virtual-service-reviews-v3.yaml"], REVIEWS, None, (200, "reviews-v3")),
    (&["destination-rule-reviews.yaml", "virtual-service-reviews-v3.yaml"], REVIEWS, None, (200, "reviews-v3")),
    // "Injecting an HTTP abort fault": for jason alone.
    (&[ALL, "virtual-service-ratings-test-abort.yaml"], RATINGS, Some("jason"), (500, "fault filter abort")),
    (&[ALL, "virtual-service-ratings-test-abort.yaml"], RATINGS, None, (200, "ratings-v1")),
    (&["fault-injection-details-v1.yaml"], DETAILS, None, (555, "fault filter abort")),
    // Versions that are not deployed: a subset without pods, and one that no rule has.
    (&[ALL, "virtual-service-details-v2.yaml"], DETAILS, None, (503, "no healthy upstream")),
    (&["virtual-service-details-v2.yaml"], DETAILS, None, (503, "")),
    (&[ALL, "virtual-service-ratings-mysql-vm.yaml"], RATINGS, None, (503, "no healthy upstream")),
    (&[ALL, "virtual-service-ratings-mysql-vm.yaml"], REVIEWS, None, (200, "reviews-v3")),
    // A rule for one service concerns no other.
    (&[ALL, "virtual-service-reviews-v3.yaml"], DETAILS, None, (200, "details-v1")),
    (&[ALL], "http://productpage:9080/productpage", None, (200, "productpage-v1")),
];

#[tokio::test(start_paused = true)]
async fn a_request_ends_where_the_rules_send_it() {
    for (files, url, user, (status, body)) in ROUTES {
        let files = [&["bookinfo.yaml"], *files].concat();
        let Some(sample) = Sample::start(&files, "").await else { return };
        let counts = sample.pod_often(url, *user, 10).await;
        assert_eq!(counts, BTreeMap::from([(answer(*status, body), 10)]), "{files:?} {url} {user:?}");
    }
}

/// Of how many requests each version of reviews gets how many.
const SHARES: &[ShareCase] = &[
    // Without rules: "each time … the page may show a different version", round about evenly.
    (&[], &[("reviews-v1", 1.0 / 3.0), ("reviews-v2", 1.0 / 3.0), ("reviews-v3", 1.0 / 3.0)]),
    (
        &["destination-rule-reviews.yaml"],
        &[("reviews-v1", 1.0 / 3.0), ("reviews-v2", 1.0 / 3.0), ("reviews-v3", 1.0 / 3.0)],
    ),
    (&[ALL, "virtual-service-reviews-90-10.yaml"], &[("reviews-v1", 0.9), ("reviews-v2", 0.1)]),
    (&[ALL, "virtual-service-reviews-50-v3.yaml"], &[("reviews-v1", 0.5), ("reviews-v3", 0.5)]),
    (
        &["destination-rule-reviews.yaml", "virtual-service-reviews-50-v3.yaml"],
        &[("reviews-v1", 0.5), ("reviews-v3", 0.5)],
    ),
];

/// Off by up to five standard deviations: the seed is fixed, so it passes always or never.
#[tokio::test(start_paused = true)]
async fn versions_of_reviews_share_the_requests_by_their_weights() {
    const TIMES: u32 = 1_000;
    for (files, shares) in SHARES {
        let files = [&["bookinfo.yaml"], *files].concat();
        let Some(sample) = Sample::start(&files, "").await else { return };
        let counts = sample.pod_often(REVIEWS, None, TIMES as usize).await;
        assert_eq!(counts.len(), shares.len(), "{files:?}: {counts:?}");
        for (version, share) in *shares {
            let times = f64::from(TIMES);
            let count = u32::try_from(counts[&of(version)]).unwrap();
            let off = (f64::from(count) - times * share).abs() / (times * share * (1.0 - share)).sqrt();
            assert!(off < 5.0, "{files:?} {version}: {count} of {TIMES}");
        }
    }
}
