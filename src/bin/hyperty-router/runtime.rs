//! Not written yet.

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(_: Options) -> Result<(), Box<dyn std::error::Error>> {
    Err("not written yet".into())
}
