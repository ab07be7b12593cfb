//! The file that tells clients where the cluster is (`client-go/tools/clientcmd/api/v1`, `Config`).

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A kubeconfig of one cluster, one user and one context.
pub(super) fn text(address: SocketAddr, authority: &str, token: &str) -> String {
    let authority = STANDARD.encode(authority);
    format!(
        "\
apiVersion: v1
kind: Config
clusters:
- name: malha
  cluster:
    server: https://{address}
    certificate-authority-data: {authority}
users:
- name: malha
  user:
    token: {token}
contexts:
- name: malha
  context:
    cluster: malha
    user: malha
    namespace: default
current-context: malha
preferences: {{}}
"
    )
}
