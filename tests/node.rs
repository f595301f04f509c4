//! The Message Node without a network: frames in, frames out, a clock that the test owns.
//!
//! One test for each sentence of the design on its wire, and oracles for ownership and routing. The
//! WebSocket server around it has its own tests.

#[path = "node/allocation.rs"]
mod allocation;
#[path = "node/bad_input.rs"]
mod bad_input;
#[path = "node/harness.rs"]
mod harness;
#[path = "node/oracle.rs"]
mod oracle;
#[path = "node/registry.rs"]
mod registry;
#[path = "node/routing.rs"]
mod routing;
#[path = "node/session.rs"]
mod session;
#[path = "node/subscription.rs"]
mod subscription;
#[path = "node/threads.rs"]
mod threads;
