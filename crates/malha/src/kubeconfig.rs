//! The file by which kubectl finds the cluster that runs: `.malha/kubeconfig`. The user's own is never touched.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::private;
use crate::project::Project;

const FILE: &str = ".malha/kubeconfig";

/// A cluster on this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// The file of a cluster that runs, which goes with it.
#[derive(Debug)]
pub(crate) struct Kubeconfig {
    path: PathBuf,
    text: String,
}

impl Kubeconfig {
    /// Writes it into the project, mode 0600.
    pub(crate) fn write(project: &Project, text: String) -> Result<Self> {
        let path = project.folder().join(FILE);
        private::write(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, text })
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // A cluster that was started later has its own there.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The path of the file of the project's cluster, which runs.
pub(crate) fn find(project: &Project) -> Result<PathBuf> {
    let path = project.folder().join(FILE);
    let Ok(text) = fs::read_to_string(&path) else {
        bail!("no cluster of this project runs\n  hint: start one: `malha up`");
    };
    let Some(address) = server(&text) else { bail!("{} names no server on this machine", path.display()) };
    if TcpStream::connect_timeout(&address, PATIENCE).is_err() {
        bail!(
            "the cluster of {} does not answer at {address}\n  hint: it was killed, perhaps; start it again: `malha up`",
            path.display()
        );
    }
    absolute(&path)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}

/// The address after `server: https://`.
fn server(text: &str) -> Option<SocketAddr> {
    let line = text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("server:"))?;
    line.trim().trim_matches('"').strip_prefix("https://")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_read_from_where_it_stands() {
        let text = "clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n  name: malha\n";
        assert_eq!(server(text), Some(SocketAddr::from(([127, 0, 0, 1], 6443))));
        assert_eq!(server("server: http://example.com"), None);
    }
}
