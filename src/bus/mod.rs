//! The buses: the MessageBus of a runtime, the MiniBus of a sandbox, pending requests.
//!
//! Everything here is data plane: any thread may call it, nothing blocks, nothing is sent by itself. What the
//! control plane must know goes into its inbox as a [`Note`].

mod counters;
mod error;
mod incoming;
mod message_bus;
mod mini_bus;
mod path;
mod requests;

pub use counters::{Counters, Drop, Snapshot};
pub use error::PostError;
pub use incoming::{FromCheck, Incoming};
pub use message_bus::{BusConfig, MessageBus, Note, P2pPolicy, Posted, Reply, Sent, TargetReport};
pub use mini_bus::MiniBus;
pub use path::PathReport;
pub use requests::{Answered, Requests, TooManyRequests};
