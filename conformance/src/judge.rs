//! Whether what was observed is right, and the same on both sides.
//!
//! What is left to chance is judged by its count: it may be off by [`DEVIATIONS`] standard deviations, which a right
//! proxy exceeds less than once in a million times.

use serde_json::Value;

use crate::case::{Answer, Case, Request, Seen, Texts, To};
use crate::observe::{Exchange, Observation};
use crate::upstream::Try;

/// Two-sided, a normal variable is further away than this with a probability below 10^-6.
pub const DEVIATIONS: f64 = 4.9;

/// Whose behaviour is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The one that is right.
    Envoy,
    /// The one that may differ where a case says so, and then has to.
    Malha,
}

/// What is not as the case says, in sentences.
pub fn complaints(case: &Case, party: Party, observation: &Observation) -> Vec<String> {
    let mut said = Vec::new();
    for (index, (request, exchanges)) in case.requests.iter().zip(observation).enumerate() {
        let (method, path) = request.line();
        let mut complain = |what: String| said.push(format!("request {}, {method} {path}: {what}", index + 1));
        for exchange in exchanges {
            let (wanted, to, seen) = match request.malha.as_ref().filter(|_| party == Party::Malha) {
                Some(own) => (&own.answer, own.to.as_ref(), &own.seen),
                None => (&request.answer, request.to.as_ref(), &request.seen),
            };
            answer(wanted, exchange, &mut complain);
            tries(to, seen, exchange, &mut complain);
        }
        counts(request, exchanges, &mut complain);
    }
    said.dedup();
    said
}

/// Where what malha says of the manifests is not what the case has it say: each thing has one of the case's parts in it, and
/// each part is in one of them.
pub fn said(case: &Case, said: &[String]) -> Vec<String> {
    let unexpected = said.iter().filter(|said| !case.says.iter().any(|part| said.contains(part)));
    let unsaid = case.says.iter().filter(|part| !said.iter().any(|said| said.contains(*part)));
    let unexpected = unexpected.map(|said| format!("malha says: {said}"));
    unexpected.chain(unsaid.map(|part| format!("malha does not say: {part}"))).collect()
}

/// Where two sides differ, in sentences that name them.
pub fn differences(case: &Case, [one, other]: [(&str, &Observation); 2]) -> Vec<String> {
    let mut said = Vec::new();
    for (index, request) in case.requests.iter().enumerate() {
        let (method, path) = request.line();
        let place = format!("request {}, {method} {path}", index + 1);
        let (Some(ours), Some(theirs)) = (one.1.get(index), other.1.get(index)) else { continue };
        for label in request.shares.keys() {
            let share = |exchanges: &[Exchange]| (tally(request, exchanges, label), f64::from(count(exchanges.len())));
            let ((a, n), (b, m)) = (share(ours), share(theirs));
            let (a, b) = (f64::from(a), f64::from(b));
            let both = (a + b) / (n + m);
            let off = (a / n - b / m).abs();
            if off > DEVIATIONS * (both * (1.0 - both) * (1.0 / n + 1.0 / m)).sqrt() {
                said.push(format!("{place}: `{label}` {a} of {n} by {}, {b} of {m} by {}", one.0, other.0));
            }
        }
        if settled(request) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                let mut both = [ours, theirs].map(|exchange| exchange.normal(case, request.to.as_ref()));
                // Of what is no request, an access log does not say whose it is.
                if ours.flags.is_empty() || theirs.flags.is_empty() {
                    for normal in &mut both {
                        normal["flags"] = Value::Null;
                    }
                }
                let [a, b] = both;
                walk("", &a, &b, &mut |at, a, b| {
                    said.push(format!("{place}: {at}\n    {}: {a}\n    {}: {b}", one.0, other.0));
                });
            }
        }
    }
    said.dedup();
    said
}

/// Whether each request leads to the same thing every time. Of several, only if the case says where they all go.
fn settled(request: &Request) -> bool {
    let one_each = request.times == 1 || request.to.is_some();
    one_each && request.malha.is_none() && request.shares.is_empty() && request.counts.is_empty() && !request.sticky
}

fn walk(at: &str, a: &Value, b: &Value, tell: &mut dyn FnMut(&str, &Value, &Value)) {
    match (a, b) {
        _ if a == b => {}
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                let [a, b] = [one, other].map(|map| map.get(key).unwrap_or(&Value::Null));
                walk(&format!("{at}/{key}"), a, b, tell);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (a, b)) in one.iter().zip(other).enumerate() {
                walk(&format!("{at}/{index}"), a, b, tell);
            }
        }
        _ => tell(at, a, b),
    }
}

fn answer(wanted: &Answer, exchange: &Exchange, complain: &mut dyn FnMut(String)) {
    let answer = match (&exchange.answer, &wanted.none) {
        (Err(why), Some(wanted)) if why == wanted => return,
        (Err(why), Some(wanted)) => return complain(format!("no answer: `{why}` instead of `{wanted}`")),
        (Err(why), None) => return complain(why.clone()),
        (Ok(answer), Some(wanted)) => return complain(format!("status {} instead of `{wanted}`", answer.status)),
        (Ok(answer), None) => answer,
    };
    let body = String::from_utf8_lossy(&answer.body);
    if let Some(status) = wanted.status.filter(|status| *status != answer.status) {
        complain(format!("status {} instead of {status}: {body}", answer.status));
    }
    if let Some(wanted) = wanted.body.as_ref().filter(|wanted| **wanted != body) {
        complain(format!("body `{body}` instead of `{wanted}`"));
    }
    if let Some(wanted) = wanted.flags.as_ref().filter(|wanted| **wanted != exchange.flags) {
        complain(format!("flags `{}` instead of `{wanted}`", exchange.flags));
    }
    if answer.broken != wanted.broken {
        complain(format!("the body is {}", if answer.broken { "broken" } else { "whole" }));
    }
    for (name, values) in &wanted.headers {
        header("the answer", name, values, &answer.headers, complain);
    }
    let took = u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX);
    if let Some([least, most]) = wanted.took.filter(|[least, most]| took < *least || took > *most) {
        complain(format!("took {took} ms instead of {least} to {most}"));
    }
}

fn header(place: &str, name: &str, wanted: &Texts, headers: &[(String, String)], complain: &mut dyn FnMut(String)) {
    let values: Vec<&String> = headers.iter().filter(|header| header.0 == name).map(|header| &header.1).collect();
    // `*` is any value.
    let fits = |(wanted, value): (&String, &&String)| wanted == "*" || wanted == *value;
    if values.len() != wanted.0.len() || !wanted.0.iter().zip(&values).all(fits) {
        complain(format!("{place} has `{name}` {values:?} instead of {:?}", wanted.0));
    }
}

fn tries(to: Option<&To>, seen: &Seen, exchange: &Exchange, complain: &mut dyn FnMut(String)) {
    let mut names: Vec<&str> = exchange.tries.iter().map(|seen| seen.upstream.as_str()).collect();
    match to {
        None => {}
        Some(To::Order(wanted)) if names == *wanted => {}
        Some(To::Order(wanted)) => complain(format!("went to {names:?} instead of {wanted:?}")),
        Some(To::Any(wanted)) => {
            names.sort_unstable();
            let wanted: Vec<&str> = wanted.iter().flat_map(|(name, times)| vec![name.as_str(); *times]).collect();
            if names != wanted {
                complain(format!("went to {names:?} instead of {wanted:?}, in any order"));
            }
        }
    }
    let id = |seen: &Try| seen.header("x-request-id").map(str::to_owned);
    if exchange.tries.windows(2).any(|pair| id(&pair[0]) != id(&pair[1])) {
        complain("its tries have several request ids".to_owned());
    }
    let Seen { method, path, headers, body, gaps } = seen;
    let Some(last) = exchange.tries.last() else {
        if method.is_some() || path.is_some() || !headers.is_empty() || body.is_some() {
            complain("no upstream saw it".to_owned());
        }
        return;
    };
    for (what, wanted, value) in
        [("method", method, &last.method), ("path", path, &last.path), ("body", body, &last.body)]
    {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != value) {
            complain(format!("{} saw the {what} `{value}` instead of `{wanted}`", last.upstream));
        }
    }
    for (name, values) in headers {
        header(&last.upstream, name, values, &last.headers, complain);
    }
    for (index, [least, most]) in gaps.iter().enumerate() {
        let pair = exchange.tries.get(index).zip(exchange.tries.get(index + 1));
        let gap = pair.map(|(before, after)| (after.at - before.at).as_millis());
        if gap.is_none_or(|gap| gap < u128::from(*least) || gap > u128::from(*most)) {
            complain(format!("{gap:?} ms before try {} instead of {least} to {most}", index + 2));
        }
    }
}

fn counts(request: &Request, exchanges: &[Exchange], complain: &mut dyn FnMut(String)) {
    for (label, wanted) in &request.counts {
        let tally = tally(request, exchanges, label);
        if tally < wanted.0 || tally > wanted.1 {
            complain(format!("`{label}` {tally} times instead of {wanted}; {}", outcomes(exchanges)));
        }
    }
    let total = f64::from(count(exchanges.len()));
    for (label, share) in &request.shares {
        let tally = f64::from(tally(request, exchanges, label));
        let room = DEVIATIONS * (total * share * (1.0 - share)).sqrt() + 0.5;
        if (tally - total * share).abs() > room {
            complain(format!("`{label}` {tally} times instead of {} ± {room:.0}", total * share));
        }
    }
    let mut ends: Vec<_> = exchanges.iter().map(Exchange::upstream).collect();
    ends.dedup();
    if request.pauses_grow {
        let means = pauses(exchanges);
        if means.len() < 2 || means.windows(2).any(|pair| pair[0] >= pair[1]) {
            complain(format!("{means:.1?} ms on an average between the tries, which do not grow"));
        }
    }
    if request.sticky && ends.len() > 1 {
        complain(format!("went to {ends:?} instead of always the same"));
    }
}

/// How many exchanges have every word of a label: a status, the last upstream (`-` for none), `slow` or `fast`.
fn tally(request: &Request, exchanges: &[Exchange], label: &str) -> u32 {
    let is = |exchange: &Exchange, word: &str| match word {
        "-" => exchange.tries.is_empty(),
        "slow" => exchange.took.as_millis() >= u128::from(request.slow),
        "fast" => exchange.took.as_millis() < u128::from(request.slow),
        "mirrored" => exchange.tries.len() > 1,
        _ => match word.parse::<u16>() {
            Ok(status) => exchange.status() == Some(status),
            Err(_) => exchange.upstream() == Some(word),
        },
    };
    count(exchanges.iter().filter(|exchange| label.split(' ').all(|word| is(exchange, word))).count())
}

/// The average milliseconds before the second try, before the third, and so on.
fn pauses(exchanges: &[Exchange]) -> Vec<f64> {
    let most = exchanges.iter().map(|exchange| exchange.tries.len()).max().unwrap_or(0);
    let pauses = (1..most).map(|index| {
        let pairs =
            exchanges.iter().filter_map(|exchange| exchange.tries.get(index - 1).zip(exchange.tries.get(index)));
        let pauses: Vec<f64> = pairs.map(|(before, after)| (after.at - before.at).as_secs_f64() * 1000.0).collect();
        pauses.iter().sum::<f64>() / f64::from(count(pauses.len()))
    });
    pauses.collect()
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// `200 a, 200 b, 503 -`.
fn outcomes(exchanges: &[Exchange]) -> String {
    let word = |exchange: &Exchange| {
        let status = exchange.status().map_or_else(|| "none".to_owned(), |status| status.to_string());
        format!("{status} {}", exchange.upstream().unwrap_or("-"))
    };
    exchanges.iter().take(20).map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::client;

    fn case(request: &Value) -> Case {
        serde_json::from_value(json!({"about": "x", "requests": [request]})).unwrap()
    }

    fn exchange(status: u16) -> Exchange {
        Exchange {
            tag: String::new(),
            flags: "-".to_owned(),
            sent: Vec::new(),
            answer: Ok(client::Answer { status, ..client::Answer::default() }),
            took: Duration::ZERO,
            tries: Vec::new(),
        }
    }

    /// So many answers of 200, and so many of 503.
    fn mixed(good: usize, bad: usize) -> Observation {
        vec![[vec![exchange(200); good], vec![exchange(503); bad]].concat()]
    }

    #[test]
    fn a_share_may_be_off_by_chance_and_no_further() {
        let case = case(&json!({"get": "/", "times": 400, "shares": {"503": 0.5}}));
        for (bad, wrong) in [(200, false), (248, false), (151, false), (251, true), (149, true), (0, true)] {
            assert_eq!(!complaints(&case, Party::Malha, &mixed(400 - bad, bad)).is_empty(), wrong, "{bad}");
        }
    }

    #[test]
    fn two_sides_may_differ_by_chance_and_no_further() {
        let case = case(&json!({"get": "/", "times": 400, "shares": {"503": 0.5}}));
        for (bad, wrong) in [(200, false), (240, false), (280, true)] {
            let sides = [("one", &mixed(200, 200)), ("other", &mixed(400 - bad, bad))];
            assert_eq!(!differences(&case, sides).is_empty(), wrong, "{bad}");
        }
    }

    #[test]
    fn what_the_case_does_not_mention_is_compared_between_the_sides() {
        let case = case(&json!({"get": "/"}));
        assert!(complaints(&case, Party::Malha, &mixed(1, 0)).is_empty());
        assert!(complaints(&case, Party::Malha, &mixed(0, 1)).is_empty());
        assert_eq!(differences(&case, [("one", &mixed(1, 0)), ("other", &mixed(0, 1))]).len(), 1);
    }

    #[test]
    fn counts_are_exact_or_a_range() {
        let of = |count: Value| case(&json!({"get": "/", "times": 4, "counts": {"503 -": count}}));
        assert!(complaints(&of(json!(1)), Party::Malha, &mixed(3, 1)).is_empty());
        assert!(complaints(&of(json!([1, 2])), Party::Malha, &mixed(2, 2)).is_empty());
        assert_eq!(complaints(&of(json!(1)), Party::Malha, &mixed(2, 2)).len(), 1);
    }
}
