//! How many pods more and how many fewer a rollout may have (`pkg/controller/deployment/util`, `ResolveFenceposts`,
//! `MaxSurge`, `MaxUnavailable`).

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// `maxSurge` and `maxUnavailable` where the manifest gives none (API default).
const DEFAULT: &str = "25%";

/// Which way a percentage that is no whole number of pods goes.
#[derive(Clone, Copy)]
pub(in crate::controllers) enum Round {
    Up,
    Down,
}

/// Replicas that the user wants.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Whether pods are replaced in steps; the other strategy is `Recreate`.
pub(super) fn rolls(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()?.type_.as_deref());
    strategy != Some("Recreate")
}

/// Pods above [`wanted`] that there may be.
pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    if rolls(deployment) { fenceposts(deployment).0 } else { 0 }
}

/// Pods below [`wanted`] that may be missing.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    if rolls(deployment) && wanted(deployment) > 0 { fenceposts(deployment).1.min(wanted(deployment)) } else { 0 }
}

/// Surge rounds up and unavailability down; were both zero nothing could ever move, so one pod may be missing then.
fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let rolling = |spec: &DeploymentSpec| spec.strategy.as_ref()?.rolling_update.clone();
    let rolling = deployment.spec.as_ref().and_then(rolling).unwrap_or_default();
    let wanted = wanted(deployment);
    match (
        scaled(rolling.max_surge.as_ref(), wanted, Round::Up),
        scaled(rolling.max_unavailable.as_ref(), wanted, Round::Down),
    ) {
        (0, 0) => (0, 1),
        both => both,
    }
}

/// A number or a percentage of `total` (apimachinery `intstr`, `GetScaledValueFromIntOrPercent`).
pub(in crate::controllers) fn scaled(value: Option<&IntOrString>, total: i32, round: Round) -> i32 {
    let text = match value {
        Some(IntOrString::Int(number)) => return (*number).max(0),
        Some(IntOrString::String(text)) => text,
        None => DEFAULT,
    };
    // Validation refuses what is no percentage.
    let percent: i64 = text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or(0);
    let product = percent.max(0).saturating_mul(i64::from(total));
    let rounded = match round {
        Round::Up => product.saturating_add(99) / 100,
        Round::Down => product / 100,
    };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};

    use crate::fixtures;

    use super::*;

    fn posts(replicas: i32, surge: Option<IntOrString>, unavailable: Option<IntOrString>) -> Deployment {
        let mut deployment = fixtures::deployment("posts", replicas, "workshop:0.0.1");
        let rolling = RollingUpdateDeployment { max_surge: surge, max_unavailable: unavailable };
        deployment.spec.as_mut().unwrap().strategy =
            Some(DeploymentStrategy { rolling_update: Some(rolling), type_: Some("RollingUpdate".into()) });
        deployment
    }

    #[test]
    fn surge_rounds_up_and_unavailability_down_and_not_both_are_zero() {
        let percent = |text: &str| Some(IntOrString::String(text.into()));
        let number = |number| Some(IntOrString::Int(number));
        for (replicas, surge, unavailable, want) in [
            (4, None, None, (1, 1)),
            (3, None, None, (1, 0)),
            (10, percent("25%"), percent("25%"), (3, 2)),
            (4, number(0), number(0), (0, 1)),
            (1, percent("0%"), percent("25%"), (0, 1)),
            (4, number(2), number(9), (2, 4)),
            (4, percent("100%"), number(0), (4, 0)),
            (0, number(1), number(1), (1, 0)),
        ] {
            let deployment = posts(replicas, surge.clone(), unavailable.clone());
            let got = (max_surge(&deployment), max_unavailable(&deployment));
            assert_eq!(got, want, "{replicas} {surge:?} {unavailable:?}");
        }
    }

    #[test]
    fn recreate_knows_neither() {
        let mut deployment = posts(4, None, None);
        deployment.spec.as_mut().unwrap().strategy.as_mut().unwrap().type_ = Some("Recreate".into());
        assert_eq!((max_surge(&deployment), max_unavailable(&deployment)), (0, 0));
    }
}
