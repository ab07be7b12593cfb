//! What goes out: connections to upstreams.
