//! `trace`: hands messages to a runtime's MessageBus and says what it decides about each. No socket is
//! opened, no clock is read: the same input gives the same output.
//!
//! The runtime is the real one ([`hyperty_router::ua::RuntimeUa`]); only what stands around it is played: a
//! Message Node stub for every domain that takes everything, and P2P stubs that answer 200 at once and send
//! the status events that the input holds.

mod lines;
mod report;
mod world;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::PathBuf,
};

use hyperty_router::{address::Url, limits};

use lines::Lines;
use world::World;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The URL of the runtime.
    #[arg(long, value_name = "URL", default_value = "hyperty-runtime://example.com/alice")]
    runtime: Url,
    /// A Hyperty or data object that lives in the runtime and listens there; as often as wanted.
    #[arg(long, value_name = "URL")]
    listen: Vec<Url>,
    /// One message a line; standard input if it is not given.
    file: Option<PathBuf>,
}

pub(crate) fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let world = World::new(options.runtime, options.listen)?;
    match options.file {
        None => trace(world, io::stdin().lock()),
        Some(path) => {
            let named = |error: io::Error| format!("{}: {error}", path.display());
            trace(world, File::open(&path).map_err(named)?)
        }
    }
}

/// One line out for each line in that is not blank. Written out whenever the input has no more at hand.
fn trace(mut world: World, input: impl Read) -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = Lines::new(BufReader::new(input), limits::TRACE_LINE_BYTES_MAX);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut text = Vec::new();
    while let Some(line) = lines.next_line()? {
        let number = line.number;
        let outcome = world.take(line);
        text.clear();
        report::write(&mut text, number, &outcome);
        out.write_all(&text)?;
        if !lines.has_more_at_hand() {
            out.flush()?;
        }
    }
    Ok(out.flush()?)
}
