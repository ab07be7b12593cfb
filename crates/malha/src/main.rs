//! `malha`: the command line.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    malha::run(std::env::args_os())
}
