//! Files for nobody else to read.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes the whole file or nothing, readable by its owner only.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    // A crash must not leave the name without its content.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
