//! Transcripts: what is typed, and what comes.
//!
//! ```text
//! ## A line of prose.
//! $ kubectl get pods nope
//! Error from server (NotFound): pods "nope" not found
//! [exit 1]
//! ```
//!
//! A line that begins with `$ ` is given to a shell. What it prints, stdout and stderr together, has to be what follows,
//! but for what no two runs have in common, which is replaced (`REPLACED`), and the width of columns. A status other than 0
//! is a line of its own.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::cluster::{Cluster, kubectl_is_there};

pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kubectl/transcripts");

/// What no two runs have in common, and what stands for it. In order.
const REPLACED: &[(&str, &str)] = &[
    // UUIDs, and times in both forms.
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b", "UID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    // Names that are drawn: a template's hash and a pod's own part.
    (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-HASH-DRAWN"),
    (r"(-deployment(-v2)?)-[bcdfghjklmnpqrstvwxz2456789]{8,10}\b", "$1-HASH"),
    (r"(pod-template-hash=)[bcdfghjklmnpqrstvwxz2456789]{8,10}\b", "${1}HASH"),
    (r"(-service)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "$1-DRAWN"),
    // Addresses and ports that are given out.
    (r"\b10\.(244|96)\.\d+\.\d+\b", "IP"),
    (r"\b127\.0\.0\.1:\d+\b", "HERE"),
    (r"\b3[0-2]\d{3}\b", "NODEPORT"),
    // How long ago.
    (r"\b(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?s\b", "AGE"),
    (r"\(x\d+ over AGE\)", "(SEVERAL over AGE)"),
    // A busy machine makes a probe late enough to restart a container now and then.
    (r"\b\d+ \(AGE ago\)", "0"),
    (r#"(resourceVersion: |"resourceVersion":\s*)"\d+""#, "${1}VERSION"),
];

/// Plays a transcript in a cluster of its own, with so many nodes.
pub(super) async fn play(name: &str, nodes: u16) {
    if !kubectl_is_there() {
        return;
    }
    let path = Path::new(FOLDER).join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).unwrap();
    let cluster = Cluster::of_nodes(nodes).await;
    let mut came = String::new();
    for line in expected.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let output = cluster.shell(command).await;
            writeln!(came, "{line}").unwrap();
            came.push_str(&settled(&String::from_utf8(output.stdout).unwrap(), &cluster));
            match output.status.code() {
                Some(0) => {}
                code => writeln!(came, "[exit {}]", code.unwrap_or(-1)).unwrap(),
            }
        } else if line.starts_with("## ") || line.is_empty() && came.ends_with('\n') && !in_output(&came) {
            writeln!(came, "{line}").unwrap();
        }
    }
    if std::env::var_os("TRANSCRIPTS").is_some_and(|value| value == "write") {
        fs::write(&path, came).unwrap();
        return;
    }
    let expected = without_blank_lines(&expected);
    let came = without_blank_lines(&came);
    assert!(came == expected, "{}", difference(&expected, &came));
}

/// Blank lines are the reader's: they are kept between subjects only.
fn in_output(came: &str) -> bool {
    came.ends_with("\n\n")
}

fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).flat_map(|line| [line, "\n"]).collect()
}

/// What a command printed, without what no two runs have in common.
fn settled(text: &str, cluster: &Cluster) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| REPLACED.iter().map(|(pattern, name)| (Regex::new(pattern).unwrap(), *name)).collect());
    let mut text = text.replace(cluster.home().to_str().unwrap(), "HOME");
    text = text.replace(cluster.manifests().to_str().unwrap(), "$K8S");
    for (rule, name) in RULES.iter() {
        text = rule.replace_all(&text, *name).into_owned();
    }
    // Columns are as wide as what was replaced; indentation means something.
    let mut settled = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let margin = line.len() - line.trim_start().len();
        let words: Vec<_> = line.split_whitespace().collect();
        writeln!(settled, "{}{}", &line[..margin], words.join(" ")).unwrap();
    }
    settled
}

/// The two side by side, from the first line that differs.
fn difference(expected: &str, came: &str) -> String {
    let (want, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), came.lines().collect());
    let same = want.iter().zip(&got).take_while(|(want, got)| want == got).count();
    let command = got[..same.min(got.len())].iter().rev().find(|line| line.starts_with("$ ")).copied().unwrap_or("");
    let from = |lines: &[&str]| {
        lines[same.min(lines.len())..].iter().take(30).flat_map(|line| ["  ", line, "\n"]).collect::<String>()
    };
    format!("after `{command}`, line {same}\nexpected:\n{}came:\n{}", from(&want), from(&got))
}
