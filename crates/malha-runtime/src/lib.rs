//! Runs Spin applications: components compiled once, a fresh instance for every request.
//!
//! A [`Pod`] is one replica of an application, with some or all of its components, its own variables, limits, logs and
//! account of CPU time. It answers [`Pod::answer`]. What its guests call goes out through [`Outbound`], which somebody
//! else implements: this crate knows neither Kubernetes nor Istio, and never opens a socket.
//!
//! | module | what it decides |
//! | --- | --- |
//! | `engine` | how wasmtime is set up: pooling, copy-on-write, deadlines |
//! | `code` | machine code: compiled ahead of time, cached on disk |
//! | `admission` | how many instances may live at once, and that call chains cannot starve each other |
//! | `app` | which component answers a path, which variables and hosts it has |
//! | `image` | local images: built by the components' own commands, only when something changed |
//! | `pod` | one replica: from a request to a response |
//! | `quota` | how much of the processors it may use, and who waits when it has used that |
//! | `guest` | one instance: run it, answer early, end it on a trap or a deadline |
//! | `host` | what a guest can ask for: WASI 0.2, HTTP, Spin's variables, SQLite and key-value stores |
//! | `storage` | a pod's databases: in which files, on which threads, what SQL may reach |
//! | `logs` | what guests print |

mod admission;
mod app;
mod body;
mod code;
mod cpu;
mod disk;
mod engine;
mod guest;
mod host;
mod image;
mod logs;
mod outbound;
mod pod;
mod quota;
mod storage;

pub use app::{App, AppError};
pub use body::{Body, BodyError};
pub use code::{Code, CodeError};
pub use engine::{Engine, EngineError, EngineOptions};
pub use image::{
    BuildError, Built, ImageError, ImageName, Images, Progress, Stamp, Step, ToolchainError, project_manifest,
};
pub use logs::{LogLine, LogPage, LogStream, Logs};
pub use outbound::{AllowedHosts, CallError, Caller, Outbound};
pub use pod::{Ended, Inbound, Pod, PodError, PodLimits, PodOptions, Stopped};
pub use storage::StateFolder;
