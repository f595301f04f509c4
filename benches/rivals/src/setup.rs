//! How long a connection takes to be live, from the message that asks for it: in milliseconds on loopback,
//! and in round trips between the two runtimes by Message Node.
//!
//! The round trips are measured, not counted in the code: the same set-up is made with a known delay on each
//! runtime's way to the Message Node, and what it takes longer is divided by what a round trip takes longer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    runtime::{Event, Runtime, RuntimeConfig},
    status::Status,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::mpsc,
    time::sleep_until,
};

use crate::{
    party::{Outcome, ours},
    table::median,
};

/// Delay of each way between a runtime and the Message Node in the second half of the set-ups.
const DELAY: Duration = Duration::from_millis(25);
/// A message from one runtime to the other and one back take four such ways.
const WAYS_A_ROUND_TRIP: u32 = 4;
/// Set-ups of each kind.
const SET_UPS: usize = 7;

/// Prints what a set-up takes.
pub async fn run() -> Outcome<()> {
    let node = ours::start_node().await?;
    let near = node.local_addr().to_string();
    let far = delaying_proxy(near.clone()).await?;
    let (mut at_once, mut delayed) = (Vec::new(), Vec::new());
    for turn in 0..SET_UPS {
        at_once.push(one(&near, turn).await?.as_secs_f64());
        delayed.push(one(&far, SET_UPS + turn).await?.as_secs_f64());
    }
    let (at_once, delayed) = (median(at_once), median(delayed));
    let round_trips = (delayed - at_once) / (DELAY * WAYS_A_ROUND_TRIP).as_secs_f64();
    println!(
        "\np2p-setup: {:.1} ms on loopback from the first message to live; {round_trips:.2} round \
         trips between the runtimes by Message Node ({:.0} ms with {DELAY:?} on each way)",
        at_once * 1e3,
        delayed * 1e3,
    );
    Ok(())
}

/// A first message between two new runtimes, until its sender's connection is live.
async fn one(node: &str, turn: usize) -> Outcome<Duration> {
    let node = format!("ws://{node}/ws");
    let hyperty = |who: &str| format!("hyperty://bench.example.com/{who}-{turn}");
    let start = |who: &str| -> Outcome<_> {
        let url = Url::parse(&format!("hyperty-runtime://bench.example.com/{who}-{turn}"))?;
        let (runtime, events) = Runtime::start(RuntimeConfig::new(url, vec![node.parse()?])?)?;
        let listener = runtime.add_hyperty(Url::parse(&hyperty(who))?);
        Ok((runtime, events, listener))
    };
    let (alice, mut alice_events, _alice) = start("alice")?;
    let (bob, mut bob_events, _bob) = start("bob")?;
    ours::until(&mut alice_events, |event| matches!(event, Event::Ready)).await?;
    ours::until(&mut bob_events, |event| matches!(event, Event::Ready)).await?;
    let message = format!(
        r#"{{"id":1,"type":"update","from":"{}","to":"{}","body":{{}}}}"#,
        hyperty("alice"),
        hyperty("bob")
    );
    let begin = Instant::now();
    alice.post(message.into())?;
    let is_live = |event: &Event| matches!(event, Event::Status { value: Status::Live, .. });
    ours::until(&mut alice_events, is_live).await?;
    let taken = begin.elapsed();
    alice.shut_down(Duration::from_secs(1)).await;
    bob.shut_down(Duration::from_secs(1)).await;
    Ok(taken)
}

/// A way to `target` that takes [`DELAY`] longer in each direction.
async fn delaying_proxy(target: String) -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&target).await else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let (near, far) = (near.into_split(), far.into_split());
            delay(near.0, far.1);
            delay(far.0, near.1);
        }
    });
    Ok(address)
}

/// Carries bytes from one socket to another, each [`DELAY`] after it came.
fn delay(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf) {
    let (sender, mut delayed) = mpsc::unbounded_channel::<(tokio::time::Instant, Bytes)>();
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let due = tokio::time::Instant::now() + DELAY;
            if sender.send((due, Bytes::copy_from_slice(&buffer[..count]))).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes)) = delayed.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
}
