//! What people see. Data goes to stdout, the rest to stderr; colour only where a terminal shows it and `NO_COLOR` does
//! not forbid it, and never as the only carrier of meaning.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use malha_runtime::Step;
use tokio::time::Instant;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// A line of data.
pub(crate) fn data(line: impl Display) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

/// A line about what happens.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Something that worked.
pub(crate) fn good(verb: &str, line: impl Display) {
    note(format_args!("{GOOD}{verb:>12}{GOOD:#} {line}"));
}

/// A failure, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    let text = format!("{error:#}");
    // What was found in manifests says `error:` itself, many times over.
    if text.starts_with("error:") { findings(&text) } else { findings(&format!("error: {text}")) }
}

/// Text whose lines may begin with `error:`, `warning:` or `hint:`.
pub(crate) fn findings(text: &str) {
    for line in text.lines() {
        let trimmed = line.trim_start();
        let style = match trimmed.split_once(':').map(|(word, _)| word) {
            Some("error") => ERROR,
            Some("warning") => WARNING,
            Some("hint") => GOOD,
            Some("note") => QUIET,
            _ => Style::new(),
        };
        let (word, rest) = match trimmed.split_once(':') {
            Some((word, rest)) if style != Style::new() => (format!("{word}:"), rest),
            _ => (String::new(), trimmed),
        };
        let margin = &line[..line.len() - trimmed.len()];
        note(format_args!("{margin}{style}{word}{style:#}{rest}"));
    }
}

/// A dimmed prefix and a line: what a pod logs.
pub(crate) fn log(pod: &str, line: &str) {
    note(format_args!("{QUIET}[{pod}]{QUIET:#} {line}"));
}

/// Shows how a build goes: a spinner with the tool's last words on a terminal, a line a step elsewhere.
pub(crate) fn build_progress() -> impl FnMut(Step<'_>) {
    let mut current: Option<(ProgressBar, Instant)> = None;
    move |step| match step {
        Step::TargetAdded => good("Added", "the Rust target wasm32-wasip2"),
        Step::Build(component) => {
            if !is_terminal() {
                good("Building", component);
            }
            current = Some((spinner(component), Instant::now()));
        }
        Step::Output(component, line) => {
            if let Some((bar, _)) = &current {
                bar.set_message(format!("{component}  {}", line.trim()));
            }
        }
        Step::Compile(component) => {
            let (bar, _) = current.get_or_insert_with(|| (spinner(component), Instant::now()));
            bar.set_message(format!("{component}  machine code"));
        }
        Step::Done(component) => {
            if let Some((bar, start)) = current.take() {
                bar.finish_and_clear();
                good("Built", format_args!("{component} in {}", seconds(start.elapsed())));
            }
        }
    }
}

fn spinner(component: &str) -> ProgressBar {
    if !is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(component.to_owned());
    // The template is a constant; were it wrong, the default would serve.
    if let Ok(style) = ProgressStyle::with_template("    {spinner} building {wide_msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// `31 ms`, `2.4 s`, `1 min 12 s`
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Lines of columns, each as wide as its widest cell.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let texts = [31, 2_400, 72_000].map(|millis| seconds(Duration::from_millis(millis)));
        assert_eq!(texts, ["31 ms", "2.4 s", "1 min 12 s"]);
    }

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows = [["a", "bcd", ""], ["efg", "h", "i"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["a     bcd", "efg   h     i"]);
    }
}
