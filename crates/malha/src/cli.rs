//! What can be typed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A Kubernetes and Istio cluster for WebAssembly services, in one process.
#[derive(Debug, Parser)]
#[command(name = "malha", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build what is missing, start the pods that the manifests describe, and serve them behind their gateway
    Up(Up),
    /// Build applications of the project into local images
    Build(Build),
    /// Print the path of the file by which kubectl finds the cluster that runs: export KUBECONFIG=$(malha kubeconfig)
    Kubeconfig,
    /// Run kubectl on the cluster that runs: malha kubectl -- get pods
    Kubectl(Kubectl),
    /// Make the key pair that signs tokens, as a Secret
    Keygen(Keygen),
}

/// `malha up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// A folder with a kustomization.yaml; may be given several times [default: k8s, unless -f is given]
    #[arg(short = 'k', long = "kustomize", value_name = "DIR")]
    pub(crate) kustomize: Vec<PathBuf>,

    /// A manifest, or a folder of them, applied after the folders of -k; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,

    /// Where the gateway listens; load balancers take the ports after it. Port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) gateway: SocketAddr,

    /// Where the Kubernetes API listens, on a loopback address; another free port if this one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6443")]
    pub(crate) api: SocketAddr,

    /// How many nodes the cluster has, 1 to 100: what kubectl shows and the scheduler reckons with, all of them this machine
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) nodes: u16,

    /// How many processors each node has for what pods request. More than any laptop, unless it is to be small
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) cpus: u64,

    /// How much memory each node has for what pods request: a quantity such as 8Gi
    #[arg(long, value_name = "QUANTITY", default_value = "1Ti", value_parser = memory)]
    pub(crate) memory: u64,

    /// Print what the pods log to stderr
    #[arg(long)]
    pub(crate) logs: bool,

    /// Hold no pod to its limits of CPU time and memory: to measure what the machine can do
    #[arg(long)]
    pub(crate) no_limits: bool,

    /// Let chance follow from this number; with one request at a time a run repeats. Only for tests: secrets follow
    /// from it too
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

/// A quantity of memory in bytes.
fn memory(text: &str) -> Result<u64, String> {
    let bytes = malha_cluster::quantity::bytes(text).filter(|bytes| *bytes >= 1 << 20);
    bytes.ok_or_else(|| "not a quantity of at least 1Mi; write one such as 8Gi or 512Mi".to_owned())
}

/// `malha build`
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// An application of the project by its name, or NAME:VERSION; may be several [default: the nearest spin.toml's]
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,

    /// Build the application of this spin.toml, or of the one in this folder
    #[arg(short = 'f', long = "from", value_name = "FILE", conflicts_with = "images")]
    pub(crate) from: Option<PathBuf>,

    /// The version to build, instead of the one in spin.toml
    #[arg(long, value_name = "VERSION")]
    pub(crate) app_version: Option<String>,
}

/// `malha kubectl`
#[derive(Debug, Args)]
pub(crate) struct Kubectl {
    /// What kubectl is to do
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<OsString>,
}

/// `malha keygen`
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Where to write the Secret
    #[arg(long, value_name = "FILE", default_value = "k8s/00-jwt.yml")]
    pub(crate) out: PathBuf,

    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
