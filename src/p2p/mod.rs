//! The P2P stubs: how a direct connection is agreed on through the Message Nodes.
//!
//! Carries out the page P2P Msg delivery, steps 1 to 14, with Connection data objects in the
//! Reporter–Observer pattern. Everything here is a state machine: it is handed messages and says which to
//! send ([`setup::Action`]); it owns no socket and no transport.

pub mod sandbox;
pub mod setup;
pub mod signalling;

pub use sandbox::StubSandbox;
pub use setup::{Action, Party, Setup, Step};
pub use signalling::{Candidate, Description, Invitation, SignallingError, Transport};
