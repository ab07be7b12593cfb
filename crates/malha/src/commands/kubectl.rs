//! `malha kubectl -- …`

use std::io;
use std::process::{Command, ExitCode};

use anyhow::{Result, anyhow};

use crate::cli::Kubectl;
use crate::kubeconfig;
use crate::project::Project;

/// The kubectl on the PATH, with the project's cluster before it; ends as kubectl ends.
pub(crate) fn run(arguments: &Kubectl) -> Result<ExitCode> {
    let config = kubeconfig::find(&Project::here()?)?;
    let status = Command::new("kubectl").args(&arguments.arguments).env("KUBECONFIG", config).status();
    let status = status.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("there is no kubectl on the PATH\n  hint: install it: https://kubernetes.io/docs/tasks/tools")
        }
        _ => anyhow!("cannot run kubectl: {error}"),
    })?;
    // Ended by a signal, it has no code; shells then say 128 and more.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130);
    Ok(ExitCode::from(code))
}
