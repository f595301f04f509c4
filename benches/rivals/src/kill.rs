//! One end killed in mid-traffic and started again: how soon that is noticed, how soon the new life is
//! reached, and whether the outcomes add up.
//!
//! Alice's runtime is in this process and posts all the time; the Message Node and each of Bob's lives are
//! processes of their own. Bob says what he takes, in a pipe that outlives him. So what Alice was told can be
//! held against what Bob has taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyperty_router::{
    address::Url,
    link::{Delivery, Path, Refusal},
    runtime::{Event, Events, Runtime, RuntimeConfig},
    status::Status,
};
use tokio::{
    process::{Child, ChildStdin},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    console::{Console, say},
    party::{Outcome, ours::until},
    process::Process,
    table::Row,
    work::{ALICE, ALICE_RUNTIME, BOB, BOB_RUNTIME},
};

const KILLS: u32 = 8;
/// Messages posted at once, and the wait until the next.
const BURST: u64 = 20;
const BETWEEN: Duration = Duration::from_millis(2);
/// Traffic before a kill, and how much later in the rhythm of keep-alives each next one comes.
const BEFORE: Duration = Duration::from_millis(400);
const PHASE: Duration = Duration::from_millis(37);
/// Bob stays away for so long after it was noticed.
const AWAY: Duration = Duration::from_millis(300);
/// For anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// The bound for noticing.
const NOTICED_MS_MAX: f64 = 1_000.0;
/// The deadline of a message, and something to be told of it.
const DEADLINE: Duration = Duration::from_secs(11);

/// Kills, and prints what came of it.
pub async fn run() -> Outcome<Vec<Row>> {
    let mut node = Process::start(&["party", "ours", "server"])?;
    let at = node.hear_word("ready").await?;
    let config = RuntimeConfig::new(Url::parse(ALICE_RUNTIME)?, vec![at.parse()?])?;
    let (runtime, mut events) = Runtime::start(config)?;
    let _hyperty = runtime.add_hyperty(Url::parse(ALICE)?);
    until(&mut events, |event| matches!(event, Event::Ready)).await?;
    let heard = Arc::new(Mutex::new(Heard::default()));
    tokio::spawn(hear(events, heard.clone()));
    let mut alice = Alice { runtime, heard, posted: Vec::new() };
    let mut bob = Bob::start(&at).await?;
    alice.post_until(|_| bob.first(Path::P2p).is_some(), "a direct connection").await?;

    let (mut noticed, mut by_node, mut by_p2p) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken = BTreeMap::new();
    for kill in 0..KILLS {
        let until = Instant::now() + BEFORE + PHASE * kill;
        alice.post_until(|_| Instant::now() >= until, "the time").await?;
        let gone = |alice: &Alice| lock(&alice.heard).disconnected.len() > kill as usize;
        if gone(&alice) {
            return Err("the connection went before it was cut".into());
        }
        let killed = Instant::now();
        taken.append(&mut bob.kill(kill).await?);
        alice.post_until(gone, "the end to be noticed").await?;
        noticed.push(lock(&alice.heard).disconnected[kill as usize] - killed);
        let until = Instant::now() + AWAY;
        alice.post_until(|_| Instant::now() >= until, "the time").await?;

        bob = Bob::start(&at).await?;
        let ready = Instant::now();
        alice.post_until(|_| bob.first(Path::P2p).is_some(), "a direct connection again").await?;
        let after = |path| bob.first(path).map(|at| at.saturating_duration_since(ready));
        by_node.extend(after(Path::MessageNode));
        by_p2p.extend(after(Path::P2p));
    }
    print("noticed (disconnected) after the kill", &noticed);
    print("first message by Message Node after the new life is ready", &by_node);
    print("first message by P2P after that", &by_p2p);
    sleep(DEADLINE).await;
    taken.append(&mut bob.kill(KILLS).await?);
    alice.judge(&taken)?;
    let worst = noticed.iter().max().ok_or("nobody was killed")?.as_secs_f64() * 1e3;
    Ok(vec![Row::goal("p2p-kill-noticed", worst, NOTICED_MS_MAX, "ms, the worst")])
}

fn print(what: &str, times: &[Duration]) {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let times: Vec<String> = times.iter().map(|time| format!("{time:.0}")).collect();
    println!("p2p-kill: {what}, ms of {} kills: {}", times.len(), times.join(" "));
}

/// What Alice's runtime told.
#[derive(Default)]
struct Heard {
    disconnected: Vec<Instant>,
    /// The codes that each message ended with.
    ended: BTreeMap<u64, Vec<u16>>,
}

async fn hear(mut events: Events, heard: Arc<Mutex<Heard>>) {
    while let Some(event) = events.next().await {
        let now = Instant::now();
        match event {
            Event::Status { value: Status::Disconnected, .. } => {
                lock(&heard).disconnected.push(now);
            }
            Event::Undelivered { message, code } => {
                let number = number_of(message.bytes());
                lock(&heard).ended.entry(number).or_default().push(code);
            }
            _ => {}
        }
    }
}

struct Alice {
    runtime: Runtime,
    heard: Arc<Mutex<Heard>>,
    /// The way of each message by its number; `None`: refused at once.
    posted: Vec<Option<Path>>,
}

impl Alice {
    /// Posts in bursts until `done`.
    async fn post_until(&mut self, done: impl Fn(&Alice) -> bool, what: &str) -> Outcome<()> {
        let begin = Instant::now();
        while !done(self) {
            for _ in 0..BURST {
                let number = self.posted.len();
                let message = format!(
                    r#"{{"id":{number},"type":"update","from":"{ALICE}","to":"{BOB}","body":{{}}}}"#
                );
                let posted = self.runtime.post(message.into()).ok();
                let sent = posted.and_then(|mut posted| posted.targets.pop()?.ok());
                self.posted.push(sent.map(|sent| sent.path));
            }
            sleep(BETWEEN).await;
            if begin.elapsed() > PATIENCE {
                return Err(format!("waited in vain for {what}").into());
            }
        }
        Ok(())
    }

    /// Holds what was told against what was taken, by its number in which of Bob's lives.
    fn judge(self, taken: &BTreeMap<u64, u32>) -> Outcome<()> {
        let bob = Url::parse(BOB)?;
        let peer = self.runtime.bus().peer_of(&bob.address()).ok_or("Bob is not known")?;
        let counts = peer.counters();
        let heard = lock(&self.heard);
        if let Some((number, codes)) = heard.ended.iter().find(|(_, codes)| codes.len() != 1) {
            return Err(format!("message {number} ended more than once: {codes:?}").into());
        }
        let ended = |code: u16| -> BTreeSet<u64> {
            let of = heard.ended.iter().filter(|(_, codes)| codes[0] == code);
            of.map(|(number, _)| *number).collect()
        };
        let (returned, in_doubt) = (ended(503), ended(504));
        if let Some(number) = returned.iter().find(|number| taken.contains_key(*number)) {
            return Err(format!("message {number} was returned, and taken").into());
        }
        let was_posted = |number: &u64| self.posted[*number as usize].is_some();
        if let Some(number) = heard.ended.keys().chain(taken.keys()).find(|of| !was_posted(of)) {
            return Err(format!("message {number} was refused, and ended or was taken").into());
        }
        let posted = self.posted.iter().flatten().count() as u64;
        let lost = (0..self.posted.len() as u64).filter(|number| {
            was_posted(number) && !taken.contains_key(number) && !heard.ended.contains_key(number)
        });
        let lost = lost.count() as u64;
        let plain = posted - counts.accepted;
        println!(
            "p2p-kill: {} posted, {posted} accepted: {plain} plain, of which {lost} came nowhere; {} \
             numbered: {} delivered + {} returned + {} in doubt ({} of them taken)",
            self.posted.len(),
            counts.accepted,
            counts.delivered,
            counts.returned,
            counts.in_doubt,
            in_doubt.iter().filter(|number| taken.contains_key(*number)).count(),
        );
        if counts.accepted != counts.delivered + counts.returned + counts.in_doubt {
            return Err("the outcomes do not add up to what was accepted".into());
        }
        // A plain message can be returned too, but is never in doubt.
        if counts.in_doubt != in_doubt.len() as u64 || counts.returned > returned.len() as u64 {
            return Err("what was told is not what was counted".into());
        }
        if counts.delivered > taken.len() as u64 || lost > plain {
            return Err("what was said to be delivered was not taken".into());
        }
        Ok(())
    }
}

/// One of Bob's lives, and what it has said that it took.
struct Bob {
    child: Child,
    _input: ChildStdin,
    reader: JoinHandle<()>,
    taken: Arc<Mutex<Vec<(u64, Path, Instant)>>>,
}

impl Bob {
    async fn start(node: &str) -> Outcome<Bob> {
        let mut process = Process::start(&["party", "kill", "bob", node])?;
        process.hear_word("ready").await?;
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (child, input, mut lines) = process.into_parts();
        let said = taken.clone();
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Some((path, number)) = line.split_once(' ') else { continue };
                let path = if path == "p2p" { Path::P2p } else { Path::MessageNode };
                let Ok(number) = number.parse() else { continue };
                lock(&said).push((number, path, Instant::now()));
            }
        });
        Ok(Bob { child, _input: input, reader, taken })
    }

    /// When the first message by `path` came.
    fn first(&self, path: Path) -> Option<Instant> {
        lock(&self.taken).iter().find(|(_, by, _)| *by == path).map(|(_, _, at)| *at)
    }

    /// SIGKILL: what this life, number `life`, has taken.
    async fn kill(mut self, life: u32) -> Outcome<BTreeMap<u64, u32>> {
        self.child.kill().await?;
        self.reader.await?;
        let numbers: Vec<u64> = lock(&self.taken).iter().map(|(number, ..)| *number).collect();
        if !numbers.is_sorted_by(|one, next| one < next) {
            return Err("messages came twice, or out of order".into());
        }
        Ok(numbers.into_iter().map(|number| (number, life)).collect())
    }
}

/// Runs `party kill bob NODE`: says each message that it takes, until it is killed or the driver goes.
pub async fn party(arguments: &[String]) -> Outcome<()> {
    let [node] = arguments else { return Err("wanted: the Message Node".into()) };
    let mut console = Console::open();
    let config = RuntimeConfig::new(Url::parse(BOB_RUNTIME)?, vec![node.parse()?])?;
    let (runtime, mut events) = Runtime::start(config)?;
    // A sink and no queue: what is acknowledged has been said.
    let sink = |delivery: Delivery| -> Result<(), Refusal> {
        let path = if delivery.ingress.path == Path::P2p { "p2p" } else { "message-node" };
        say(&format!("{path} {}", number_of(delivery.message.bytes())));
        Ok(())
    };
    let _listener = runtime.add_hyperty_sink(Url::parse(BOB)?, Arc::new(sink));
    timeout(PATIENCE, until(&mut events, |event| matches!(event, Event::Ready))).await??;
    say("ready");
    while console.next().await.is_some() {}
    Ok(())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `{"id":<number>,…`
fn number_of(message: &[u8]) -> u64 {
    let digits = message.iter().skip(br#"{"id":"#.len()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
