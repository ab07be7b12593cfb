//! Which labels a selector selects (apimachinery `meta/v1`, `LabelSelector`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// A Service's selector: every pair must be there. An empty one selects nothing: its endpoints are someone else's.
pub(crate) fn selects(selector: Option<&Labels>, labels: Option<&Labels>) -> bool {
    selector.is_some_and(|selector| !selector.is_empty() && contains(labels, selector))
}

/// The selector of a Deployment or `ReplicaSet`: all pairs and all expressions; an empty one selects everything.
pub(crate) fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let pairs = selector.match_labels.as_ref().is_none_or(|pairs| contains(labels, pairs));
    pairs
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = labels.and_then(|labels| labels.get(&expression.key));
            let listed = || value.is_some_and(|value| expression.values.iter().flatten().any(|one| one == value));
            match expression.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                // Validation refuses other words; one that came through selects nothing.
                _ => false,
            }
        })
}

/// The selector as one text, by key (apimachinery `labels`, `Selector.String`).
pub(crate) fn text(selector: &LabelSelector) -> String {
    let pairs = selector.match_labels.iter().flatten().map(|(key, value)| (key, format!("{key}={value}")));
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let mut values = one.values.clone().unwrap_or_default();
        values.sort();
        let (key, values) = (&one.key, values.join(","));
        let text = match one.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        (key, text)
    });
    let mut all: Vec<_> = pairs.chain(expressions).collect();
    all.sort();
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

fn contains(labels: Option<&Labels>, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    fn labels(text: &str) -> Labels {
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn a_service_without_a_selector_selects_nothing() {
        assert!(!selects(None, Some(&labels("app=posts"))));
        assert!(!selects(Some(&labels("")), Some(&labels("app=posts"))));
        assert!(selects(Some(&labels("app=posts")), Some(&labels("app=posts version=1"))));
        assert!(!selects(Some(&labels("app=posts")), None));
    }

    #[test]
    fn expressions_and_pairs_must_all_hold() {
        for (operator, values, want) in [
            ("In", vec!["a", "posts"], true),
            ("In", vec!["a"], false),
            ("NotIn", vec!["a"], true),
            ("NotIn", vec!["posts"], false),
            ("Exists", vec![], true),
            ("DoesNotExist", vec![], false),
            ("Near", vec![], false),
        ] {
            let selector = LabelSelector {
                match_labels: Some(labels("tier=web")),
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: "app".into(),
                    operator: operator.into(),
                    values: Some(values.into_iter().map(Into::into).collect()),
                }]),
            };
            assert_eq!(matches(&selector, Some(&labels("app=posts tier=web"))), want, "{operator}");
            assert!(!matches(&selector, Some(&labels("app=posts"))), "{operator} without the pair");
        }
    }
}
