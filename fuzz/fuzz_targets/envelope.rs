//! Fuzz target: the scan of a message against the byte-at-a-time oracle. The body is `bodies/envelope.rs`.
#![no_main]

#[path = "../bodies/envelope.rs"]
mod envelope;
#[path = "../../tests/support/naive_envelope.rs"]
mod naive_envelope;

libfuzzer_sys::fuzz_target!(|data: &[u8]| envelope::envelope(data));
