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
    /// Tells the file from that of a cluster that was started later.
    token: String,
}

impl Kubeconfig {
    /// Writes it into the project, mode 0600. Where another cluster of the project runs, that one keeps its file, and this
    /// one is told apart by its port.
    pub(crate) fn write(project: &Project, text: &str, address: SocketAddr) -> Result<Self> {
        let own = project.folder().join(FILE);
        let taken = fs::read_to_string(&own).ok().and_then(|text| server(&text)).is_some_and(answers);
        let path = if taken { own.with_file_name(format!("kubeconfig-{}", address.port())) } else { own };
        private::write(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, token: value(text, "token:").unwrap_or_default().to_owned() })
    }

    /// What to type so that kubectl finds this cluster.
    pub(crate) fn export(&self) -> String {
        if self.path.ends_with(FILE) {
            return "export KUBECONFIG=$(malha kubeconfig)".to_owned();
        }
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        format!("export KUBECONFIG={}", path.display())
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // Its user may have changed it: whose it is is told by the token.
        let own = |text: String| value(&text, "token:") == Some(&self.token);
        if fs::read_to_string(&self.path).is_ok_and(own) {
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
    if !answers(address) {
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

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, PATIENCE).is_ok()
}

/// The address after `server: https://`.
fn server(text: &str) -> Option<SocketAddr> {
    value(text, "server:")?.strip_prefix("https://")?.parse().ok()
}

/// The value on the first line of this name.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(name))?;
    Some(line.trim().trim_matches('"'))
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
