//! `runtime`: a runtime whose Hyperties are whoever writes and reads this program's lines.
//!
//! ```text
//!  stdin ─► reading thread ─► lines (bounded) ─► posting ─► MessageBus …
//!  stdout ◄─ printing thread ◄─ refusals (bounded), events, messages (bounded)
//! ```
//!
//! Lines are posted at once, ready or not: what has no way yet waits in the stub's queue, as it does for any
//! Hyperty. Both threads may block on their pipe; nothing else waits for a pipe but by its bounded queue.

mod lines;
mod post;
mod print;

use std::{error::Error, sync::Arc, time::Duration};

use clap::ValueEnum;
use hyperty_router::{
    address::Url,
    bus::P2pPolicy,
    link::{Delivery, Outbox},
    runtime::{NodeAddress, Runtime, RuntimeConfig},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{logs, signals::Signals};
use post::Posting;
use print::{Printer, Sources};

/// For everything that is still under way when the input ends.
const DRAIN: Duration = Duration::from_secs(5);
/// For stdout's reader to take what is printed after that.
const PRINT: Duration = Duration::from_secs(5);
/// Messages that wait to be printed; plain ones are lost beyond, so there are as many as a Message Node holds
/// for a session.
const PRINT_MESSAGES_MAX: usize = 1 << 20;
/// Bytes of those messages.
const PRINT_BYTES_MAX: usize = 64 << 20;
/// Lines that wait to be posted. Each may be as long as the largest message.
const LINES_MAX: usize = 32;
/// Refusals that wait to be printed; beyond, posting waits.
const REFUSALS_MAX: usize = 1_024;

/// Options of `runtime`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Its URL, hyperty-runtime://<domain>/<instance>.
    #[arg(long, value_name = "URL", value_parser = url)]
    runtime: Url,
    /// A Message Node, by default that of the runtime's own domain; may be given for several domains.
    #[arg(long, value_name = "[DOMAIN=]WS_URL", required = true)]
    node: Vec<NodeAddress>,
    /// A Hyperty or data object that lives here; may be given several times.
    #[arg(long, value_name = "URL", value_parser = url)]
    hyperty: Vec<Url>,
    /// The peer transport.
    #[arg(long, value_enum, default_value = "quic")]
    p2p: Transport,
    /// Whether every remote runtime is connected to, or those that a message asks for by `body.p2p`.
    #[arg(long, value_enum, default_value = "automatic")]
    p2p_policy: Policy,
    /// Print a line each time the messages for a remote runtime take another path.
    #[arg(long)]
    paths: bool,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
enum Transport {
    Quic,
    Webrtc,
    Off,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
enum Policy {
    Automatic,
    Asked,
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let config = config(&options)?;
    logs::to_stderr();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(perform(config, options.hyperty, options.paths))
}

fn config(options: &Options) -> Result<RuntimeConfig, Box<dyn Error>> {
    let policy = match (options.p2p, options.p2p_policy) {
        (Transport::Webrtc, _) => {
            return Err("this build has no WebRTC transport; use --p2p quic or --p2p off".into());
        }
        (Transport::Off, _) => P2pPolicy::Off,
        (Transport::Quic, Policy::Automatic) => P2pPolicy::Automatic,
        (Transport::Quic, Policy::Asked) => P2pPolicy::Asked,
    };
    for hyperty in &options.hyperty {
        post::check_hyperty(hyperty, &options.runtime)
            .map_err(|why| format!("--hyperty {hyperty}: {why}"))?;
    }
    let config = RuntimeConfig::new(options.runtime.clone(), options.node.clone())
        .map_err(|error| format!("--runtime {}: {error}", options.runtime))?;
    Ok(config.policy(policy))
}

async fn perform(
    config: RuntimeConfig,
    hyperties: Vec<Url>,
    paths: bool,
) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::catch()?;
    let bytes_max = config.message_bytes_max();
    let (runtime, events) = Runtime::start(config)?;
    let messages: Arc<Outbox<Delivery>> =
        Arc::new(Outbox::new(PRINT_MESSAGES_MAX, PRINT_BYTES_MAX));
    let (refusals, refused) = mpsc::channel(REFUSALS_MAX);
    let printer = Printer::new(runtime.url(), runtime.p2p_handler(), messages.clone());
    let sources = Sources { events, refused, paths: paths.then(|| runtime.watch_paths()) };
    let mut printing = print::start(printer, sources)?;
    let mut posting = Posting::new(runtime, messages.clone(), refusals, bytes_max);
    for url in hyperties {
        posting.add(url)?;
    }
    let (lines, mut read) = mpsc::channel(LINES_MAX);
    lines::start(lines, bytes_max)?;
    tokio::select! {
        () = posting.post_all(&mut read) => {}
        () = signals.next() => {}
        _ = &mut printing => return Ok(()), // Nobody reads any more: no failure of ours.
    }
    let ending = async {
        // The refusals' channel closes with it, so the printer ends when all is printed.
        posting.finish(DRAIN).await;
        messages.close();
        timeout(PRINT, &mut printing).await
    };
    tokio::select! {
        printed = ending => printed.map(|_| ()).map_err(|_| "nobody took what was to be printed".into()),
        () = signals.next() => Err("stopped before everything was drained".into()),
    }
}

/// Resolves when the thread has ended.
type Ended = oneshot::Receiver<()>;
