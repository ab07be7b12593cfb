//! misbehave: does all that a guest should not, one path a sin, to see that its neighbours do not notice.
//!
//! It speaks plain WASI HTTP through the bindings of the crate `wasip2`, without the Spin SDK, which also shows that any
//! such component runs. Some paths are well-behaved: they show what a host gives a guest (time, chance, streams, calls).

#[cfg(target_family = "wasm")]
mod calls;
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
mod respond;
#[cfg(target_family = "wasm")]
mod sins;
