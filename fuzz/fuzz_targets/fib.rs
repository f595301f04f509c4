//! The FIB against the naive one, on any sequence of edits.

#![no_main]

#[path = "../bodies/fib.rs"]
mod body;
#[allow(dead_code)]
#[path = "../../tests/support/naive_fib.rs"]
mod naive_fib;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
