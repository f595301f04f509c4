//! One party of a measurement: a process that sends or receives by one rival, at the driver's command.

#[cfg(feature = "nats")]
mod nats;
pub mod ours;
#[cfg(feature = "zenoh")]
mod peer_zenoh;
mod raw_quinn;

use std::{error::Error, time::Instant};

use crate::{
    console::{Console, cpu},
    work::Author,
};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// What each rival can do, once its two ends are connected. Alice sends and pings, Bob takes and echoes.
trait Party {
    /// Sends so many messages as fast as it can.
    async fn send(&mut self, messages: u64) -> Outcome<()>;
    /// Takes so many messages, checking each.
    async fn take(&mut self, messages: u64) -> Outcome<()>;
    /// Sends one message and waits for the other side's.
    async fn ping(&mut self) -> Outcome<()>;
    /// Waits for one message and answers with one.
    async fn echo(&mut self) -> Outcome<()>;
}

/// Runs `party RIVAL ROLE ADDRESS…` until the driver goes.
pub async fn run(rival: &str, role: &str, address: &[String]) -> Outcome<()> {
    let console = Console::open();
    let author = match role {
        "sender" => Author::Alice,
        "receiver" => Author::Bob,
        "server" if rival.starts_with("ours") => return ours::serve(console).await,
        other => return Err(format!("no role {other}").into()),
    };
    match rival {
        "ours" | "ours-by-one" => {
            let by_one = rival != "ours";
            obey(ours::Ours::open(author, by_one, address, &console).await?, console).await
        }
        "quinn" => obey(raw_quinn::RawQuinn::open(author, address, &console).await?, console).await,
        #[cfg(feature = "zenoh")]
        "zenoh-quic" | "zenoh-tcp" => {
            let protocol = rival.trim_start_matches("zenoh-");
            obey(peer_zenoh::Zenoh::open(author, protocol, address, &console).await?, console).await
        }
        #[cfg(feature = "nats")]
        "nats" => obey(nats::Nats::open(author, address, &console).await?, console).await,
        other => Err(format!("no rival {other}").into()),
    }
}

async fn obey(mut party: impl Party, mut console: Console) -> Outcome<()> {
    console.say("connected");
    while let Some(line) = console.next().await {
        let (verb, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let count: u64 = count.parse()?;
        match verb {
            "cpu" => console.say(&cpu().as_nanos().to_string()),
            "send" => {
                party.send(count).await?;
                console.say("sent");
            }
            "take" => {
                console.say("armed");
                party.take(count).await?;
                console.say("took");
            }
            "ping" => console.say(&ping(&mut party, count).await?),
            "echo" => {
                console.say("armed");
                for _ in 0..count {
                    party.echo().await?;
                }
                console.say("echoed");
            }
            other => return Err(format!("no command {other}").into()),
        }
    }
    Ok(())
}

/// First decile, median and 99th percentile of so many round trips, in nanoseconds.
async fn ping(party: &mut impl Party, count: u64) -> Outcome<String> {
    let mut trips = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let begin = Instant::now();
        party.ping().await?;
        trips.push(begin.elapsed().as_nanos());
    }
    trips.sort_unstable();
    let at = |percent: usize| trips[trips.len() * percent / 100];
    Ok(format!("{} {} {}", at(10), at(50), at(99)))
}
