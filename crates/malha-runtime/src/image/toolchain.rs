//! The Rust target that build commands ask for, added when it is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use super::indent;

/// What spin-sdk 5 components are built for.
const TARGET: &str = "wasm32-wasip2";

/// Why the target is not there.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// There is no Rust at all.
    #[error(
        "cannot run `rustc`: {0}\n  hint: install Rust from https://rustup.rs, open a new terminal, and run this again"
    )]
    NoRust(std::io::Error),
    /// Without rustup nothing can be added.
    #[error(
        "the Rust target {TARGET} is not installed, and there is no `rustup` to add it ({0})\n  hint: install Rust \
         from https://rustup.rs, or add your distribution's package of the Rust standard library for {TARGET}"
    )]
    NoRustup(std::io::Error),
    /// `rustup` could not.
    #[error(
        "the Rust target {TARGET} is not installed, and rustup could not add it:\n{0}  hint: look at the network, \
         then run `rustup target add {TARGET}` yourself"
    )]
    Rustup(String),
}

/// Makes sure that `command` finds the target that it names. Says whether the target had to be added.
pub(super) fn ensure_target(command: &str) -> Result<bool, ToolchainError> {
    if !command.contains(TARGET) || is_installed()? {
        return Ok(false);
    }
    let output = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .output()
        .map_err(ToolchainError::NoRustup)?;
    if output.status.success() {
        Ok(true)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(ToolchainError::Rustup(indent(said.lines())))
    }
}

fn is_installed() -> Result<bool, ToolchainError> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .stdin(Stdio::null())
        .output()
        .map_err(ToolchainError::NoRust)?;
    let folder = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}
