//! Throughput and round trip of each rival, in interleaved rounds.

use std::time::Instant;

use crate::{
    party::Outcome,
    process::{NatsServer, Process, Server},
    table::{Row, median},
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    pub messages: u64,
    pub pings: u64,
}

/// One rival, connected.
struct Rival {
    name: &'static str,
    sender: Process,
    receiver: Process,
    server: Server,
    rounds: Vec<Round>,
}

/// What one round gave. Times in seconds, of all messages together.
#[derive(Clone, Copy, Debug)]
struct Round {
    wall: f64,
    sender: f64,
    receiver: f64,
    server: f64,
    /// First decile, median and 99th percentile.
    trips: [f64; 3],
    /// Of all parties, for one round trip.
    trip_cpu: f64,
}

impl Round {
    fn cpu(&self) -> f64 {
        self.sender + self.receiver + self.server
    }
}

/// Measures `names` and prints what each gave; the first is ours. Gives the rows of the table of ratios.
pub async fn run(names: &[&'static str], effort: Effort) -> Outcome<Vec<Row>> {
    let mut rivals = Vec::new();
    for name in names {
        match connect(name).await {
            Ok(rival) => rivals.push(rival),
            Err(error) => println!("{name}: not measured: {error}"),
        }
    }
    // The first round warms everybody up and counts for nobody.
    for round in 0..=effort.rounds {
        for rival in &mut rivals {
            let measured = rival.measure(effort).await?;
            if round > 0 {
                rival.rounds.push(measured);
            }
        }
    }
    print(&rivals, effort);
    Ok(rows(&rivals, effort))
}

async fn connect(name: &'static str) -> Outcome<Rival> {
    let server = match name {
        "ours" | "ours-by-one" => Server::Party(Process::start(&["party", name, "server"])?),
        "nats" => Server::Nats(NatsServer::start().await?),
        _ => Server::None,
    };
    let (server, at) = match server {
        Server::Party(mut process) => {
            let at = process.hear_word("ready").await?;
            (Server::Party(process), at)
        }
        Server::Nats(server) => {
            let at = server.address.clone();
            (Server::Nats(server), at)
        }
        Server::None => (Server::None, String::new()),
    };
    let mut arguments = vec!["party", name, "receiver"];
    arguments.extend((!at.is_empty()).then_some(at.as_str()));
    let mut receiver = Process::start(&arguments)?;
    let ready = receiver.hear_word("ready").await?;
    let address = if at.is_empty() { ready } else { at };
    let mut arguments = vec!["party", name, "sender"];
    arguments.extend(address.split(' '));
    let mut sender = Process::start(&arguments)?;
    sender.hear_word("connected").await?;
    receiver.hear_word("connected").await?;
    Ok(Rival { name, sender, receiver, server, rounds: Vec::new() })
}

impl Rival {
    async fn measure(&mut self, effort: Effort) -> Outcome<Round> {
        let before = self.cpu().await?;
        self.receiver.ask(&format!("echo {}", effort.pings), "armed").await?;
        let trips = self.sender.ask(&format!("ping {}", effort.pings), "").await?;
        self.receiver.hear_word("echoed").await?;
        let after = self.cpu().await?;
        let trip_cpu =
            (after.iter().sum::<f64>() - before.iter().sum::<f64>()) / effort.pings as f64;
        let trips: Vec<f64> =
            trips.split(' ').map(|trip| Ok(trip.parse::<f64>()? / 1e9)).collect::<Outcome<_>>()?;
        let trips = trips.try_into().map_err(|_| "three times were expected")?;

        let before = self.cpu().await?;
        self.receiver.ask(&format!("take {}", effort.messages), "armed").await?;
        let begin = Instant::now();
        self.sender.tell(&format!("send {}", effort.messages)).await?;
        self.receiver.hear_word("took").await?;
        let wall = begin.elapsed().as_secs_f64();
        self.sender.hear_word("sent").await?;
        let after = self.cpu().await?;
        Ok(Round {
            wall,
            sender: after[0] - before[0],
            receiver: after[1] - before[1],
            server: after[2] - before[2],
            trips,
            trip_cpu,
        })
    }

    async fn cpu(&mut self) -> Outcome<[f64; 3]> {
        Ok([self.sender.cpu().await?, self.receiver.cpu().await?, self.server.cpu().await?])
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }
}

fn print(rivals: &[Rival], effort: Effort) {
    println!(
        "\n{:12} {:>10} {:>31} {:>34}",
        "400 B", "messages/s", "CPU µs a message", "round trip µs"
    );
    println!(
        "{:12} {:>10} {:>8} {:>8} {:>6} {:>6} {:>8} {:>8} {:>8} {:>7}",
        "", "", "sender", "receiver", "server", "all", "decile", "median", "p99", "CPU"
    );
    for rival in rivals {
        let each = |of: fn(&Round) -> f64| rival.median(of) / effort.messages as f64 * 1e6;
        let trip = |at: usize| rival.median(|round| round.trips[at]) * 1e6;
        println!(
            "{:12} {:>10.0} {:>8.3} {:>8.3} {:>6.3} {:>6.3} {:>8.1} {:>8.1} {:>8.1} {:>7.1}",
            rival.name,
            effort.messages as f64 / rival.median(|round| round.wall),
            each(|round| round.sender),
            each(|round| round.receiver),
            each(|round| round.server),
            each(Round::cpu),
            trip(0),
            trip(1),
            trip(2),
            rival.median(|round| round.trip_cpu) * 1e6,
        );
    }
}

fn rows(rivals: &[Rival], effort: Effort) -> Vec<Row> {
    let Some((ours, others)) = rivals.split_first().filter(|(ours, _)| ours.name == "ours") else {
        return Vec::new();
    };
    let messages = effort.messages as f64;
    let mut rows = Vec::new();
    for other in others {
        let paired = |of: &dyn Fn(&Round) -> f64| {
            let pairs = ours.rounds.iter().zip(&other.rounds);
            median(pairs.map(|(ours, other)| of(other) / of(ours)).collect())
        };
        let mut row = |case: &str, unit: &str, scale: f64, of: &dyn Fn(&Round) -> f64| {
            rows.push(Row {
                case: case.to_owned(),
                ours: ours.median(of) * scale,
                rival: other.median(of) * scale,
                rival_name: other.name.to_owned(),
                ratio: paired(of),
                unit: unit.to_owned(),
            });
        };
        row("p2p-wall", "us/message", 1e6 / messages, &|round| round.wall);
        row("p2p-cpu", "us/message", 1e6 / messages, &Round::cpu);
        row("p2p-round-trip", "us", 1e6, &|round| round.trips[1]);
        row("p2p-round-trip-decile", "us", 1e6, &|round| round.trips[0]);
        row("p2p-round-trip-cpu", "us", 1e6, &|round| round.trip_cpu);
        if other.name == "quinn" {
            let added = |of: &Round, ours: &Round| (ours.cpu() - of.cpu()) / messages * 1e6;
            let pairs = ours.rounds.iter().zip(&other.rounds);
            let added = median(pairs.map(|(ours, other)| added(other, ours)).collect());
            rows.push(Row::goal("p2p-cpu-added", added, 0.40, "us/message"));
        }
    }
    rows
}
