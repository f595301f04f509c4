//! The P2P frame decoder against the naive one, on any bytes in any chunks.

#![no_main]

#[path = "../bodies/frame.rs"]
mod body;
#[path = "../../tests/support/naive_frame.rs"]
mod naive_frame;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
