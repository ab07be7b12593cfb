//! Everything that the inbound proxy of a workload demands.

/// What a workload's inbound proxy demands of whoever calls.
#[derive(Clone, Debug, Default)]
pub struct InboundPolicy {}
