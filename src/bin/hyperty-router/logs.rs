//! Logs on stderr, for the commands that run until they are stopped. Results never go here.

use std::io::stderr;

use tracing_subscriber::EnvFilter;

/// Logs what `RUST_LOG` asks for; warnings and errors if it asks for nothing.
pub(crate) fn to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false).init();
}
