//! `malha kubeconfig`

use anyhow::Result;

use crate::kubeconfig;
use crate::project::Project;
use crate::screen;

pub(crate) fn run() -> Result<()> {
    screen::data(kubeconfig::find(&Project::here()?)?.display());
    Ok(())
}
