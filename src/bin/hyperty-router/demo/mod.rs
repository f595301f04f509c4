//! `demo`: a Message Node and two runtimes on loopback, real sockets, and messages that move between paths.
//!
//! Alice writes to Bob. First by the Message Node; then she asks for a direct connection, and traffic moves
//! there; in mid-traffic the connection is cut, traffic falls back, and moves again when the connection is
//! back. Bob counts what he gets by the numbers in the messages: nothing here is taken on trust.

mod audit;
mod screen;
mod stage;

use std::{error::Error, time::Duration};

use clap::ValueEnum;

use stage::Stage;

/// Options of `demo`.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// The peer transport.
    #[arg(long, value_enum, default_value = "quic")]
    transport: Transport,
    /// How many messages Alice sends, spread over the phases [default: 20000, or no bound with --seconds].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..=100_000_000))]
    messages: Option<u64>,
    /// How often the direct connection is cut.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(0..=1_000))]
    cuts: u64,
    /// Send for so many seconds at full rate instead of a number of messages.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(2..=3_600))]
    seconds: Option<u64>,
    /// How it is cut: in order, or by a network that swallows everything.
    #[arg(long, value_enum, default_value = "close")]
    cut: Cut,
    /// JSON Lines on stdout; the last one is the result.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
enum Transport {
    Quic,
    Webrtc,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
enum Cut {
    Close,
    Blackhole,
}

/// How the messages are spread.
#[derive(Clone, Copy)]
pub(crate) enum Plan {
    /// So many in each phase.
    Messages(u64),
    /// So long in each phase.
    Time(Duration),
}

pub(crate) fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if options.transport == Transport::Webrtc {
        return Err("this build has no WebRTC transport; use --transport quic".into());
    }
    if options.seconds.is_some() && options.messages.is_some() {
        return Err("--messages and --seconds exclude each other".into());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(perform(options))
}

async fn perform(options: Options) -> Result<(), Box<dyn Error>> {
    // By relay, directly, and for each cut once more by relay and directly.
    let phases = 2 * options.cuts + 2;
    if options.messages.is_some_and(|messages| messages <= phases) {
        let cuts = options.cuts;
        return Err(format!("--messages must be more than {phases} with {cuts} cuts").into());
    }
    // One message is sent between the first two phases: the one that asks for a direct connection.
    let messages = options.messages.unwrap_or(20_000) - 1;
    let plan = |phase: u64| match options.seconds {
        Some(seconds) => Plan::Time(Duration::from_secs(seconds) / phases as u32),
        None => Plan::Messages(messages / phases + u64::from(phase < messages % phases)),
    };
    let mut stage = Stage::set_up(options.json).await?;
    stage.send(plan(0), "by the Message Node").await?;
    stage.ask_for_direct().await?;
    for cut in 1..=options.cuts {
        stage.send_and_cut(plan(2 * cut - 1), options.cut == Cut::Blackhole, cut).await?;
        stage.send(plan(2 * cut), "by the Message Node again").await?;
        stage.wait_for_direct().await?;
    }
    stage.send(plan(phases - 1), "by the direct connection").await?;
    let report = stage.finish().await?;
    report.print(options.json);
    match report.is_clean() {
        true => Ok(()),
        false => Err("messages were lost, doubled or out of order".into()),
    }
}
