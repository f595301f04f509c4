//! The program as its users have it: real processes on loopback, pipes, signals, kills.
//!
//! Goal: `node`, `runtime` and `demo` do what scripts rely on, and whatever dies or lies, the others go on.
//! Method: every port is 0 and read from the first line; every wait is for a line or an exit, with a
//! deadline; nothing sleeps.

#[path = "program/harness.rs"]
mod harness;

#[path = "program/life.rs"]
mod life;
#[path = "program/node.rs"]
mod node;
#[path = "program/refusals.rs"]
mod refusals;
