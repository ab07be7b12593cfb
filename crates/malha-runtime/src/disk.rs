//! Files that others read while we write.

use std::io::{self, Write};
use std::path::Path;

/// Writes a file so that nobody ever sees a part of it: neither a process that reads it meanwhile nor, after a crash,
/// the next one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
