//! What a live connection that carries nothing costs in memory, at the end that accepted and at the end that
//! dialled.
//!
//! One runtime, the hub, alone in its process, holds all connections; a second process has a runtime for each
//! of them. What the hub's process grows by, divided by the connections, is the figure of its end.

use std::time::Duration;

use hyperty_router::{
    address::Url,
    runtime::{Event, Events, Hyperty, Runtime, RuntimeConfig},
    status::Status,
};
use tokio::time::{sleep, timeout};

use crate::{
    console::{Console, heap_bytes, resident_bytes},
    party::{Outcome, ours::until},
    process::Process,
    table::Row,
    work::{BOB, BOB_RUNTIME},
};

/// Connections set up at the same time.
const AT_ONCE: usize = 20;
/// For so many to be live.
const SET_UP: Duration = Duration::from_secs(20);
/// How long all are held before they are counted again.
const HELD: Duration = Duration::from_secs(5);
/// The bound for each end.
const BYTES_MAX: f64 = 40_000.0;

/// Measures both ends with so many connections.
pub async fn run(connections: usize) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (case, dialling) in [("p2p-idle-handler", false), ("p2p-idle-requester", true)] {
        let (resident, heap, live) = measure(connections, dialling).await?;
        println!(
            "{case}: {live} of {connections} held live, {resident:.0} bytes resident each at this end, \
             {heap:.0} of them heap in use"
        );
        if live == connections {
            rows.push(Row::goal(case, resident, BYTES_MAX, "bytes/connection"));
        }
    }
    Ok(rows)
}

async fn measure(connections: usize, hub_dials: bool) -> Outcome<(f64, f64, usize)> {
    let mut node = Process::start(&["party", "ours", "server"])?;
    let at = node.hear_word("ready").await?;
    let mut hub = Process::start(&["party", "idle", "hub", &at])?;
    hub.hear_word("ready").await?;
    let count = connections.to_string();
    let mut spokes = Process::start(&["party", "idle", "spokes", &at, &count])?;
    spokes.hear_word("ready").await?;
    let before = memory(&mut hub).await?;
    for first in (0..connections).step_by(AT_ONCE) {
        let last = (first + AT_ONCE).min(connections);
        let who = if hub_dials { &mut hub } else { &mut spokes };
        who.ask(&format!("dial {first} {last}"), "posted").await?;
        hub.ask(&format!("live {last}"), "live").await?;
    }
    sleep(HELD).await;
    let live = hub.ask("held", "").await?.parse()?;
    let after = memory(&mut hub).await?;
    let each = |bytes: f64| bytes / connections as f64;
    Ok((each(after.0 - before.0), each(after.1 - before.1), live))
}

/// Bytes resident and bytes of heap in use.
async fn memory(hub: &mut Process) -> Outcome<(f64, f64)> {
    let answer = hub.ask("memory", "").await?;
    let (resident, heap) = answer.split_once(' ').ok_or("two figures were expected")?;
    Ok((resident.parse()?, heap.parse()?))
}

/// Runs `party idle hub NODE` or `party idle spokes NODE COUNT` until the driver goes.
pub async fn party(role: &str, arguments: &[String]) -> Outcome<()> {
    match (role, arguments) {
        ("hub", [node]) => hub(node).await,
        ("spokes", [node, count]) => spokes(node, count.parse()?).await,
        _ => Err("wanted: hub NODE, or spokes NODE COUNT".into()),
    }
}

async fn hub(node: &str) -> Outcome<()> {
    let mut console = Console::open();
    let (runtime, hyperty, mut events) = start(BOB_RUNTIME, BOB, node).await?;
    // A message that nobody takes would count as the connection's.
    tokio::spawn(async move { while hyperty.next().await.is_some() {} });
    console.say("ready");
    let mut live = 0_usize;
    while let Some(line) = console.next().await {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["dial", first, last] => {
                for spoke in first.parse::<usize>()?..last.parse()? {
                    runtime.post(message(BOB, &spoke_url(spoke)).into())?;
                }
                console.say("posted");
            }
            ["live", wanted] => {
                let wanted: usize = wanted.parse()?;
                while live < wanted {
                    let event = timeout(SET_UP, events.next()).await?.ok_or("the hub is gone")?;
                    count(&event, &mut live);
                }
                console.say("live");
            }
            ["held"] => {
                while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
                    count(&event, &mut live);
                }
                console.say(&live.to_string());
            }
            ["memory"] => console.say(&format!("{} {}", resident_bytes(), heap_bytes())),
            _ => return Err(format!("no command {line}").into()),
        }
    }
    Ok(())
}

fn count(event: &Event, live: &mut usize) {
    match event {
        Event::Status { value: Status::Live, .. } => *live += 1,
        Event::Status { value: Status::Disconnected, .. } => *live -= 1,
        _ => {}
    }
}

async fn spokes(node: &str, count: usize) -> Outcome<()> {
    let mut console = Console::open();
    let mut runtimes = Vec::with_capacity(count);
    for spoke in 0..count {
        let url = format!("hyperty-runtime://bench.example.com/spoke-{spoke}");
        runtimes.push(start(&url, &spoke_url(spoke), node).await?);
    }
    console.say("ready");
    while let Some(line) = console.next().await {
        let words: Vec<&str> = line.split(' ').collect();
        let ["dial", first, last] = words[..] else {
            return Err(format!("no command {line}").into());
        };
        let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
        let dialling = runtimes.get(first..last).ok_or("there are not so many spokes")?;
        for (spoke, (runtime, ..)) in (first..).zip(dialling) {
            runtime.post(message(&spoke_url(spoke), BOB).into())?;
        }
        console.say("posted");
    }
    Ok(())
}

async fn start(url: &str, hyperty: &str, node: &str) -> Outcome<(Runtime, Hyperty, Events)> {
    let config = RuntimeConfig::new(Url::parse(url)?, vec![node.parse()?])?;
    let (runtime, mut events) = Runtime::start(config)?;
    let hyperty = runtime.add_hyperty(Url::parse(hyperty)?);
    until(&mut events, |event| matches!(event, Event::Ready)).await?;
    Ok((runtime, hyperty, events))
}

fn spoke_url(spoke: usize) -> String {
    format!("hyperty://bench.example.com/spoke-hyperty-{spoke}")
}

fn message(from: &str, to: &str) -> String {
    format!(r#"{{"id":1,"type":"update","from":"{from}","to":"{to}","body":{{"value":"hello"}}}}"#)
}
