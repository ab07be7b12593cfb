//! Everything that holds for requests to one workload.

use crate::peer::PeerModes;

/// What the inbound proxy of a workload checks.
#[derive(Debug, Default)]
pub struct InboundPolicy {
    /// Which connections are let in.
    pub peer: PeerModes,
}
