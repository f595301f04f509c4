//! The Registry: which way an address takes, and what is known of remote runtimes.
//!
//! Nothing here sends: the control plane asks and is told what to do.

pub mod connections;
pub mod resolve;
pub mod table;

pub use connections::{Connections, P2pConnection, Role, StatusEvent};
pub use resolve::{
    Onward, Own, Receiver, Receivers, Resolution, Unreachable, resolve, resolve_found,
    resolve_incoming, sole_listener,
};
pub use table::{Listener, ListenerKey, Place, RoutingTable};
