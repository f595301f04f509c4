//! The MessageBus against the naive one, on any sequence of listeners and messages.

#![no_main]

#[path = "../bodies/bus.rs"]
mod body;
#[path = "../../tests/support/naive_bus.rs"]
mod naive_bus;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
