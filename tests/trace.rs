//! Goal: `trace` shows the decision for every rule of the design's section 3, as section 5 writes it. Method:
//! the built program gets lines and is held, line by line, against what the rule says; each test quotes its
//! rule.
//!
//! A result is compared in short form (see [`harness`]); the bytes of a line are the business of [`output`].

#[path = "trace/addresses.rs"]
mod addresses;
#[path = "trace/changes.rs"]
mod changes;
#[path = "trace/harness.rs"]
mod harness;
#[path = "trace/output.rs"]
mod output;
#[path = "trace/refusals.rs"]
mod refusals;
#[path = "trace/resolve.rs"]
mod resolve;
#[path = "trace/status.rs"]
mod status;
