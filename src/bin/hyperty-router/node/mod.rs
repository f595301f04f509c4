//! `node`: a Message Node on the network, from its flags and file to an orderly end.
//!
//! The first line on stdout says where it listens, the last one that it has stopped. What a Message Node does
//! is the library's.

mod exposition;
mod scrape;
mod settings;

use std::{error::Error, sync::Arc};

use hyperty_router::{
    node::MessageNode,
    node::serve::{ServeHandle, serve},
};
use simd_json::{OwnedValue, json, prelude::Writable};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{logs, output, signals::Signals};
use scrape::Scrape;
pub(crate) use settings::Options;
use settings::Settings;

pub(crate) fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let settings = Settings::from(options)?;
    logs::to_stderr();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(perform(settings))
}

async fn perform(settings: Settings) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::catch()?;
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the system gives random bytes");
    let node = MessageNode::new(settings.node.clone(), random)
        .map_err(|error| format!("domain `{}`: {error}", settings.node.domain))?;
    let node = Arc::new(node);

    let listener = settings::bind(&settings.listen, "--listen", settings.insecure).await?;
    let metrics = match &settings.metrics {
        Some(address) => Some(settings::bind(address, "--metrics", settings.insecure).await?),
        None => None,
    };
    let served = serve(listener, node.clone(), settings.server())?;
    output::say(&listening(&settings, &served, metrics.as_ref())?.encode());

    let (asks, asked) = mpsc::channel(scrape::SCRAPES_MAX);
    let scraping = metrics.map(|listener| tokio::spawn(scrape::serve(listener, asks)));
    answer_until(&mut signals, &node, &served, asked).await;

    if let Some(scraping) = scraping {
        scraping.abort();
    }
    let cut = tokio::select! {
        cut = served.shutdown() => cut,
        () = signals.next() => return Err("stopped before every socket was written out".into()),
    };
    let counted = node.metrics();
    let stopped = json!({ "event": "stopped", "frames": counted.frames,
                          "delivered": counted.delivered, "cut": cut });
    output::say(&stopped.encode());
    Ok(())
}

/// Answers scrapes until a signal comes.
async fn answer_until(
    signals: &mut Signals,
    node: &MessageNode,
    served: &ServeHandle,
    mut asked: mpsc::Receiver<Scrape>,
) {
    loop {
        tokio::select! {
            () = signals.next() => return,
            Some(scrape) = asked.recv() => {
                let text = exposition::text(
                    &node.metrics(), served.counters(), served.server_counters());
                // Who asked may have gone.
                let _ = scrape.send(text);
            }
        }
    }
}

fn listening(
    settings: &Settings,
    served: &ServeHandle,
    metrics: Option<&TcpListener>,
) -> Result<OwnedValue, Box<dyn Error>> {
    let websocket = format!("ws://{}/ws", served.local_addr());
    let (domain, policy) = (settings.node.domain.as_str(), settings.policy_word());
    Ok(match metrics {
        Some(listener) => {
            let metrics = format!("http://{}/metrics", listener.local_addr()?);
            json!({ "event": "listening", "websocket": websocket, "domain": domain,
                    "policy": policy, "metrics": metrics })
        }
        None => json!({ "event": "listening", "websocket": websocket, "domain": domain,
                        "policy": policy }),
    })
}
