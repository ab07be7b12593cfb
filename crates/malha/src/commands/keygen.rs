//! `malha keygen`

use anyhow::Result;
use malha_world::World;

use crate::cli::Keygen;
use crate::keys;
use crate::screen;

pub(crate) fn run(arguments: &Keygen) -> Result<()> {
    keys::generate(&arguments.out, arguments.force, &World::real().chance.stream())?;
    screen::good("Made", format_args!("the key pair of auth in {} (keep it out of git)", arguments.out.display()));
    Ok(())
}
