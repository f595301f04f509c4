//! The buses: the MessageBus of a runtime, the MiniBus of a sandbox, pending requests.
//!
//! Everything here is data plane: any thread may call it, nothing blocks, nothing is sent by itself. What the
//! control plane must know goes into its inbox as a [`Note`].

mod asking;
mod batch;
mod burst;
mod config;
mod counters;
mod error;
mod incoming;
mod message_bus;
mod mini_bus;
mod note;
mod path;
mod post;
mod posted;
mod requests;

pub use burst::{Burst, Stopped};
pub use config::{BusConfig, P2pPolicy};
pub use counters::{Counters, Drop, Snapshot};
pub use error::PostError;
pub use incoming::{FromCheck, Incoming, LastTaker};
pub use message_bus::MessageBus;
pub use mini_bus::{MiniBus, MiniKey, Path};
pub use note::Note;
pub use path::PathReport;
pub use posted::{Posted, PostedBatch, Refused, Sent, TargetReport};
pub use requests::{Answered, Reply, Requests, TooManyRequests};
