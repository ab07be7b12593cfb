//! `malha`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    malha::run(std::env::args_os())
}
