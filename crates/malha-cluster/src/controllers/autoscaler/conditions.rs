//! What an autoscaler says of itself (`setCondition` in kube-controller-manager's `pkg/controller/podautoscaler/horizontal.go`).

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The three things that are said, in the order in which they come to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Whether the target's size can be read and written.
    AbleToScale,
    /// Whether a size can be computed.
    ScalingActive,
    /// Whether a limit keeps the size from what the metrics ask for.
    ScalingLimited,
}

impl About {
    fn name(self) -> &'static str {
        match self {
            Self::AbleToScale => "AbleToScale",
            Self::ScalingActive => "ScalingActive",
            Self::ScalingLimited => "ScalingLimited",
        }
    }
}

/// Conditions that are being written.
#[derive(Debug)]
pub(super) struct Conditions {
    list: Vec<HorizontalPodAutoscalerCondition>,
    now: Time,
}

impl Conditions {
    /// Those that there are.
    pub(super) fn new(list: Vec<HorizontalPodAutoscalerCondition>, now: Time) -> Self {
        Self { list, now }
    }

    /// Says something; since now, if it was otherwise before.
    pub(super) fn set(&mut self, about: About, holds: bool, reason: &str, message: impl Into<String>) {
        let status = if holds { "True" } else { "False" };
        let known = self.list.iter().position(|condition| condition.type_ == about.name());
        let index = known.unwrap_or_else(|| {
            let type_ = about.name().to_owned();
            self.list.push(HorizontalPodAutoscalerCondition { type_, ..HorizontalPodAutoscalerCondition::default() });
            self.list.len() - 1
        });
        let condition = &mut self.list[index];
        if condition.status != status {
            condition.last_transition_time = Some(self.now.clone());
        }
        status.clone_into(&mut condition.status);
        condition.reason = Some(reason.to_owned());
        condition.message = Some(message.into());
    }

    /// All of them.
    pub(super) fn into_list(self) -> Vec<HorizontalPodAutoscalerCondition> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    #[test]
    fn a_condition_holds_since_its_status_changed() {
        let at = |second: i64| Time(Timestamp::from_second(second).unwrap());
        let mut list = Vec::new();
        for (second, holds, reason, since) in
            [(1, true, "SucceededGetScale", 1), (2, true, "ReadyForNewScale", 1), (3, false, "FailedGetScale", 3)]
        {
            let mut conditions = Conditions::new(list, at(second));
            conditions.set(About::AbleToScale, holds, reason, "a message");
            list = conditions.into_list();
            assert_eq!(list.len(), 1);
            assert_eq!((list[0].reason.as_deref(), &list[0].last_transition_time), (Some(reason), &Some(at(since))));
        }
    }
}
