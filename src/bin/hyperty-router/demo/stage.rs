//! The stage: the Message Node, Alice's and Bob's runtimes, and what is done with them.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    bus::P2pPolicy,
    link::Path,
    node::{
        MessageNode, NodeConfig,
        serve::{ServeHandle, serve},
    },
    runtime::{Event, Events, Hyperty, Runtime, RuntimeConfig},
    status::Status,
    transport::websocket::ServerConfig,
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use super::{
    Plan,
    audit::Audit,
    screen::{Report, Screen},
};

const DOMAIN: &str = "demo.example";
const ALICE: &str = "hyperty://demo.example/alice-chat";
const BOB: &str = "hyperty://demo.example/bob-chat";
/// How long anything that has to happen may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at that nobody announces.
const LOOK: Duration = Duration::from_millis(2);
/// Messages between two looks at the clock and the screen.
const BURST: u64 = 64;

/// Everything on stage.
pub(super) struct Stage {
    node: ServeHandle,
    alice: Arc<Runtime>,
    bob: Runtime,
    bob_url: Url,
    audit: Arc<Mutex<Audit>>,
    counting: JoinHandle<()>,
    screen: Arc<Mutex<Screen>>,
    told: Arc<Mutex<Told>>,
    telling: [JoinHandle<()>; 2],
    sent: u64,
}

/// What Alice's runtime has told.
#[derive(Default)]
struct Told {
    statuses: Vec<Status>,
    undelivered: u64,
}

impl Stage {
    /// Starts all three and waits until Alice can reach Bob.
    pub(super) async fn set_up(json: bool) -> Result<Self, Box<dyn Error>> {
        let screen = Arc::new(Mutex::new(Screen::new(json)));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("random bytes");
        let node = Arc::new(MessageNode::new(NodeConfig::new(DOMAIN), random)?);
        let node = serve(listener, node, ServerConfig::default())?;
        let address = format!("ws://{}/ws", node.local_addr());
        screen.lock().phase(&format!("Message Node for {DOMAIN} at {address}"));

        let (alice, mut alice_events) = start("alice", &address)?;
        let (bob, mut bob_events) = start("bob", &address)?;
        let alice_chat = alice.add_hyperty(Url::parse(ALICE)?);
        let bob_chat = bob.add_hyperty(Url::parse(BOB)?);
        ready(&mut alice_events).await?;
        ready(&mut bob_events).await?;
        screen.lock().phase("the runtimes of Alice and Bob are ready");

        let audit = Arc::new(Mutex::new(Audit::default()));
        let told = Arc::new(Mutex::new(Told::default()));
        let telling = [
            tokio::spawn(tell("Alice", alice_events, screen.clone(), Some(told.clone()))),
            tokio::spawn(tell("Bob", bob_events, screen.clone(), None)),
        ];
        Ok(Stage {
            node,
            alice: Arc::new(alice),
            bob,
            bob_url: Url::parse(BOB)?,
            counting: tokio::spawn(count(bob_chat, alice_chat, audit.clone())),
            audit,
            screen,
            told,
            telling,
            sent: 0,
        })
    }

    /// Sends one phase's messages.
    pub(super) async fn send(&mut self, plan: Plan, what: &str) -> Result<(), Box<dyn Error>> {
        self.screen.lock().phase(&format!("messages go {what}"));
        self.audit.lock().rest();
        self.send_until(plan, |_, _| {}).await
    }

    /// Sends one phase's messages directly, and cuts the connection when half of them have come by it.
    pub(super) async fn send_and_cut(
        &mut self,
        plan: Plan,
        blackhole: bool,
        number: u64,
    ) -> Result<(), Box<dyn Error>> {
        self.screen.lock().phase("messages go by the direct connection");
        self.audit.lock().rest();
        let (began, before) = (Instant::now(), self.audit.lock().by_p2p);
        let audit = self.audit.clone();
        let mut cut = false;
        self.send_until(plan, |alice, screen| {
            let is_half = match plan {
                Plan::Messages(share) => audit.lock().by_p2p - before >= share / 2,
                Plan::Time(share) => began.elapsed() >= share / 2,
            };
            if is_half && !cut {
                cut = true;
                screen.lock().phase(&format!("cut {number}: the direct connection is cut"));
                sever(alice, blackhole);
            }
        })
        .await?;
        if !cut {
            // All were sent before half of them had come: those on their way are in mid-traffic still.
            self.until(|| self.audit.lock().by_p2p - before > 0, "messages go directly").await?;
            self.screen.lock().phase(&format!("cut {number}: the direct connection is cut"));
            sever(&self.alice, blackhole);
        }
        self.until(|| !self.is_direct(), "the cut is noticed").await?;
        self.alice.set_blackhole(false);
        Ok(())
    }

    /// Alice asks for a direct connection, and waits until it carries her messages.
    pub(super) async fn ask_for_direct(&mut self) -> Result<(), Box<dyn Error>> {
        self.screen.lock().phase("Alice asks for a direct connection");
        self.post(true).await?;
        self.wait_for_direct().await
    }

    /// Waits until messages to Bob go by the direct connection.
    pub(super) async fn wait_for_direct(&mut self) -> Result<(), Box<dyn Error>> {
        self.until(|| self.is_direct(), "messages move to the direct connection").await
    }

    /// Waits until everything has come, stops everything, and gives the result.
    pub(super) async fn finish(self) -> Result<Report, Box<dyn Error>> {
        let all = || self.audit.lock().delivered >= self.sent;
        // What is missing after that is lost, and the report says so.
        let _ = self.until(all, "every message arrives").await;
        // The connections that end because the demo does are no part of its story.
        let statuses: Vec<_> = self.told.lock().statuses.iter().map(|each| each.word()).collect();
        self.screen.lock().close();
        let Stage { node, alice, bob, audit, counting, told, telling, sent, .. } = self;
        // Doubles would come behind: Bob counts until his queue is closed and empty.
        let within = Duration::from_secs(5);
        if let Ok(alice) = Arc::try_unwrap(alice) {
            alice.shut_down(within).await;
        }
        bob.shut_down(within).await;
        node.shutdown().await;
        timeout(within, counting).await.map_err(|_| "Bob's queue did not end")??;
        for telling in telling {
            timeout(within, telling).await.map_err(|_| "a runtime's events did not end")??;
        }
        let (audit, told) = (audit.lock(), told.lock());
        Ok(Report {
            sent,
            delivered: audit.delivered,
            duplicated: audit.duplicated,
            reordered: audit.reordered,
            by_node: audit.by_node,
            by_p2p: audit.by_p2p,
            undelivered: told.undelivered,
            longest_pause: audit.longest_pause,
            statuses,
        })
    }

    async fn send_until(
        &mut self,
        plan: Plan,
        mut each_burst: impl FnMut(&Arc<Runtime>, &Mutex<Screen>),
    ) -> Result<(), Box<dyn Error>> {
        let (began, first) = (Instant::now(), self.sent);
        loop {
            let done = match plan {
                Plan::Messages(share) => self.sent - first >= share,
                Plan::Time(share) => began.elapsed() >= share,
            };
            if done {
                return Ok(());
            }
            self.post(false).await?;
            if self.sent.is_multiple_of(BURST) {
                each_burst(&self.alice, &self.screen);
                self.show_progress();
                tokio::task::yield_now().await;
            }
        }
    }

    async fn post(&mut self, ask: bool) -> Result<(), Box<dyn Error>> {
        let message = message(self.sent + 1, ask);
        let posted = timeout(PATIENCE, self.alice.post_when_room(message)).await;
        let posted = posted.map_err(|_| "there was no room for a message in 30 s")??;
        if let Some(error) = posted.first_error() {
            return Err(error.to_string().into());
        }
        self.sent += 1;
        Ok(())
    }

    fn show_progress(&self) {
        let audit = self.audit.lock();
        self.screen.lock().progress(self.sent, audit.delivered, audit.by_p2p);
    }

    /// True if a message to Bob takes the direct connection now.
    fn is_direct(&self) -> bool {
        let path = self.alice.path_of(&self.bob_url);
        path.peer.is_some_and(|peer| peer.path == Some(Path::P2p))
    }

    async fn until(&self, condition: impl Fn() -> bool, what: &str) -> Result<(), Box<dyn Error>> {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(LOOK).await;
                self.show_progress();
            }
        };
        let patience = PATIENCE.as_secs();
        let late = format!("gave up after {patience} s of waiting until {what}");
        timeout(PATIENCE, waiting).await.map_err(|_| late.into())
    }
}

fn sever(alice: &Runtime, blackhole: bool) {
    match blackhole {
        true => alice.set_blackhole(true),
        false => alice.cut_connections(),
    }
}

fn start(name: &str, node: &str) -> Result<(Runtime, Events), Box<dyn Error>> {
    let url = Url::parse(&format!("hyperty-runtime://{DOMAIN}/{name}"))?;
    let config = RuntimeConfig::new(url, vec![node.parse()?])?.policy(P2pPolicy::Asked);
    Ok(Runtime::start(config)?)
}

fn message(number: u64, ask: bool) -> Bytes {
    let p2p = if ask { r#","p2p":true"# } else { "" };
    format!(
        r#"{{"id":{number},"type":"update","from":"{ALICE}","to":"{BOB}","body":{{"value":{number}{p2p},"text":"the quick brown fox jumps over the lazy dog"}}}}"#
    )
    .into()
}

async fn ready(events: &mut Events) -> Result<(), Box<dyn Error>> {
    let waiting = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Ready) {
                return true;
            }
        }
        false
    };
    match timeout(PATIENCE, waiting).await {
        Ok(true) => Ok(()),
        _ => Err("a runtime did not get ready".into()),
    }
}

/// Counts what comes to Bob. Alice's own Hyperty is kept so that it goes on listening.
async fn count(bob: Hyperty, _alice: Hyperty, audit: Arc<Mutex<Audit>>) {
    let mut batch = Vec::new();
    while bob.next_batch(&mut batch, 256).await > 0 {
        let (mut audit, now) = (audit.lock(), Instant::now());
        for delivery in batch.drain(..) {
            audit.count(&delivery, now);
        }
    }
}

async fn tell(
    who: &'static str,
    mut events: Events,
    screen: Arc<Mutex<Screen>>,
    told: Option<Arc<Mutex<Told>>>,
) {
    while let Some(event) = events.next().await {
        match event {
            Event::Status { stub, value, desc, .. } => {
                screen.lock().status(who, &stub, value, desc.as_deref());
                if let Some(told) = &told {
                    told.lock().statuses.push(value);
                }
            }
            Event::Undelivered { .. } => {
                if let Some(told) = &told {
                    told.lock().undelivered += 1;
                }
            }
            _ => {}
        }
    }
}
