//! Ours: two runtimes and a Message Node, the direct connection live, numbered messages, post to listener.

use std::{sync::Arc, time::Duration};

use hyperty_router::{
    address::Url,
    link::{Delivery, Path},
    node::{MessageNode, NodeConfig, serve},
    runtime::{Event, Events, Hyperty, Runtime, RuntimeConfig},
    status::Status,
    transport::websocket::ServerConfig,
};
use tokio::{net::TcpListener, time::timeout};

use super::{Outcome, Party};
use crate::{
    console::{Console, cpu},
    work::{ALICE, ALICE_RUNTIME, Author, BOB, BOB_RUNTIME, Checker, FRAMES_A_WRITE, Writer},
};

/// For the connection to be live and for traffic to have moved to it.
const SET_UP: Duration = Duration::from_secs(20);
/// Between two messages while the connection is being set up.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
/// Messages taken out of the listener's queue at once.
const BATCH: usize = 256;

/// The Message Node, until the driver goes.
pub async fn serve(mut console: Console) -> Outcome<()> {
    let node = start_node().await?;
    console.say(&format!("ready ws://{}/ws", node.local_addr()));
    while let Some(line) = console.next().await {
        if line == "cpu" {
            console.say(&cpu().as_nanos().to_string());
        }
    }
    Ok(())
}

/// A Message Node on a free port of loopback.
pub async fn start_node() -> Outcome<serve::ServeHandle> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("random bytes");
    let node = Arc::new(MessageNode::new(NodeConfig::new("bench.example.com"), random)?);
    Ok(serve::serve(listener, node, ServerConfig::default())?)
}

pub struct Ours {
    runtime: Runtime,
    hyperty: Hyperty,
    /// Messages are posted one at a time, and not in batches.
    by_one: bool,
    arrived: Vec<Delivery>,
    writer: Writer,
    checker: Checker,
}

impl Ours {
    pub async fn open(
        author: Author,
        by_one: bool,
        address: &[String],
        console: &Console,
    ) -> Outcome<Self> {
        let [node] = address else { return Err("wanted: the Message Node".into()) };
        let (runtime, hyperty, other) = match author {
            Author::Alice => (ALICE_RUNTIME, ALICE, Author::Bob),
            Author::Bob => (BOB_RUNTIME, BOB, Author::Alice),
        };
        let config = RuntimeConfig::new(Url::parse(runtime)?, vec![node.parse()?])?;
        let (runtime, mut events) = Runtime::start(config)?;
        let hyperty = runtime.add_hyperty(Url::parse(hyperty)?);
        until(&mut events, |event| matches!(event, Event::Ready)).await?;
        tokio::spawn(tell(events));
        let mut party = Ours {
            runtime,
            hyperty,
            by_one,
            arrived: Vec::with_capacity(BATCH),
            writer: Writer::new(author),
            checker: Checker::new(other),
        };
        match author {
            Author::Bob => console.say("ready -"),
            Author::Alice => {}
        }
        timeout(SET_UP, party.until_direct(author)).await??;
        Ok(party)
    }

    /// Both sides exchange messages until one has gone directly each way; both see the same one.
    async fn until_direct(&mut self, author: Author) -> Outcome<()> {
        loop {
            let (went, came) = match author {
                Author::Alice => (self.post().await?, self.next().await?),
                Author::Bob => {
                    let came = self.next().await?;
                    (self.post().await?, came)
                }
            };
            if went == Path::P2p && came == Path::P2p {
                return Ok(());
            }
            if author == Author::Alice {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        }
    }

    async fn post(&mut self) -> Outcome<Path> {
        let message = self.writer.message();
        let mut posted = self.runtime.post_when_room(message).await?;
        let target = posted.targets.pop().ok_or("posted to nobody")?;
        Ok(target?.path)
    }

    /// Takes exactly one message.
    async fn next(&mut self) -> Outcome<Path> {
        let next = self.hyperty.next().await.ok_or("the runtime is gone")?;
        self.checker.check(next.message.bytes());
        Ok(next.ingress.path)
    }
}

impl Party for Ours {
    async fn send(&mut self, messages: u64) -> Outcome<()> {
        if self.by_one {
            for _ in 0..messages {
                self.post().await?;
            }
            return Ok(());
        }
        let mut left = messages as usize;
        while left > 0 {
            let frames = left.min(FRAMES_A_WRITE);
            let writer = &mut self.writer;
            let batch = (0..frames).map(|_| writer.message());
            let posted = self.runtime.post_batch_when_room(batch).await;
            if posted.p2p != frames {
                return Err(format!("not by the direct connection: {posted:?}").into());
            }
            left -= frames;
        }
        Ok(())
    }

    async fn take(&mut self, messages: u64) -> Outcome<()> {
        let mut left = messages as usize;
        while left > 0 {
            let count = self.hyperty.next_batch(&mut self.arrived, left.min(BATCH)).await;
            if count == 0 {
                return Err("the runtime is gone".into());
            }
            for delivery in self.arrived.drain(..) {
                assert_eq!(delivery.ingress.path, Path::P2p, "not by the direct connection");
                self.checker.check(delivery.message.bytes());
            }
            left -= count;
        }
        Ok(())
    }

    async fn ping(&mut self) -> Outcome<()> {
        self.post().await?;
        self.next().await.map(drop)
    }

    async fn echo(&mut self) -> Outcome<()> {
        self.next().await?;
        self.post().await.map(drop)
    }
}

/// Says on stderr when the connection goes: figures of such a run do not count.
async fn tell(mut events: Events) {
    while let Some(event) = events.next().await {
        if let Event::Status { value: Status::Disconnected | Status::Failed, desc, .. } = event {
            eprintln!("the connection has gone: {}", desc.unwrap_or_default());
        }
    }
}

/// Reads events until `wanted` says so.
pub async fn until(events: &mut Events, mut wanted: impl FnMut(&Event) -> bool) -> Outcome<()> {
    timeout(SET_UP, async {
        while let Some(event) = events.next().await {
            if wanted(&event) {
                return Ok(());
            }
        }
        Err("the runtime is gone".into())
    })
    .await?
}
