//! `malha build`

use anyhow::Result;
use tokio::time::Instant;

use crate::cli::Build;
use crate::project::Project;
use crate::screen::{self, seconds};

pub(crate) fn run(arguments: &Build) -> Result<()> {
    let start = Instant::now();
    let project = Project::here()?;
    for finding in project.findings() {
        screen::findings(&finding.to_string());
    }
    let engine = project.engine()?;
    let built = project.build(&engine, arguments.app_version.as_deref(), &mut screen::build_progress())?;
    let what = match built.rebuilt.len() {
        0 => "nothing changed".to_owned(),
        1 => "1 component built".to_owned(),
        many => format!("{many} components built"),
    };
    screen::good("Ready", format_args!("image {} ({what}, {})", built.image, seconds(start.elapsed())));
    screen::data(&built.image);
    Ok(())
}
