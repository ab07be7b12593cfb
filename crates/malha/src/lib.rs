//! The command line of malha, and the wiring of its parts. Each verb is a module of [`commands`]; what a verb says goes
//! through [`screen`]: data to stdout, the rest to stderr.

#![forbid(unsafe_code)]

mod application;
mod applied;
mod cli;
mod cluster;
mod commands;
mod doors;
mod keeper;
mod keys;
mod kubeconfig;
mod listener;
mod node;
mod private;
mod project;
mod screen;
mod source;
mod volumes;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use application::Application;
pub use cluster::{Plan, Running};
pub use doors::{Door, Turn};
pub use node::LocalNode;
pub use project::Project;
pub use source::Source;
pub use volumes::Volumes;

use cli::{Cli, Command};

/// Runs one command line, the program's name first. Never panics on what a user types: 0 is success, 1 a failure that
/// has been explained on stderr, 2 a command line that is wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; clap knows which stream and which status they deserve.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let done = |()| ExitCode::SUCCESS;
    let result = match cli.command {
        Command::Build(arguments) => commands::build::run(&arguments).map(done),
        Command::Keygen(arguments) => commands::keygen::run(&arguments).map(done),
        Command::Kubeconfig => commands::kubeconfig::run().map(done),
        Command::Kubectl(arguments) => commands::kubectl::run(&arguments),
        Command::Up(arguments) => commands::up::run(&arguments).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            screen::error(&error);
            ExitCode::FAILURE
        }
    }
}
