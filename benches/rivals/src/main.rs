//! The network rivals: what a message costs between two processes, by ours and by each of them.
//!
//! Run without arguments it is the driver: it starts the parties as processes of its own executable on
//! loopback, all pinned to one core, measures in interleaved rounds, and writes a table of ratios. It is no
//! test of what the rivals can do on a network, or with several cores.

mod console;
mod idle;
mod kill;
mod party;
mod process;
mod setup;
mod table;
mod throughput;
mod work;

use std::mem;

use party::Outcome;
use throughput::Effort;
use tokio::runtime::Builder;

const USAGE: &str = "usage: rivals [--only throughput|idle|setup|kill] [--core N] [--rounds N] [--messages N] \
    [--pings N] [--connections N] [RIVAL]…";
const RIVALS: &[&str] = &["ours", "ours-by-one", "quinn", "zenoh-quic", "zenoh-tcp", "nats"];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_zenoh = |rival: &String| rival.starts_with("zenoh");
    let runtime = match arguments.get(1).is_some_and(is_zenoh) {
        // Zenoh refuses to run on anything else.
        true => Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
        false => Builder::new_current_thread().enable_all().build()?,
    };
    match arguments.first().map(String::as_str) {
        Some("party") => {
            let [_, rival, role, address @ ..] = &arguments[..] else { return Err(USAGE.into()) };
            match rival.as_str() {
                "idle" => runtime.block_on(idle::party(role, address)),
                "kill" => runtime.block_on(kill::party(address)),
                rival => runtime.block_on(party::run(rival, role, address)),
            }
        }
        _ => {
            let choice = Choice::read(&arguments)?;
            raise_file_limit();
            runtime.block_on(drive(choice))
        }
    }
}

async fn drive(choice: Choice) -> Outcome<()> {
    let wants = |part: &str| choice.only.as_deref().is_none_or(|only| only == part);
    let mut rows = Vec::new();
    // Memory, set-up and kills have both cores; what follows has one, and its parties inherit that.
    if wants("idle") {
        rows.extend(idle::run(choice.connections).await?);
    }
    if wants("setup") {
        setup::run().await?;
    }
    if wants("kill") {
        rows.extend(kill::run().await?);
    }
    if wants("throughput") {
        pin(choice.core)?;
        rows.extend(throughput::run(&choice.rivals, choice.effort).await?);
    }
    table::write(&rows)
}

struct Choice {
    only: Option<String>,
    core: usize,
    connections: usize,
    effort: Effort,
    rivals: Vec<&'static str>,
}

impl Choice {
    fn read(arguments: &[String]) -> Outcome<Choice> {
        let mut effort = Effort { rounds: 11, messages: 100_000, pings: 2_000 };
        let (mut only, mut core, mut connections) = (None, 0, 1_000);
        let mut rivals = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().ok_or(USAGE)?.parse::<u64>().map_err(|_| USAGE);
            match argument.as_str() {
                "--connections" => connections = number()? as usize,
                "--core" => core = number()? as usize,
                "--rounds" => effort.rounds = number()? as usize,
                "--messages" => effort.messages = number()?,
                "--pings" => effort.pings = number()?,
                "--only" => only = Some(arguments.next().ok_or(USAGE)?.clone()),
                name => {
                    let known = RIVALS.iter().find(|rival| **rival == name);
                    rivals.push(*known.ok_or(USAGE)?);
                }
            }
        }
        if rivals.is_empty() {
            rivals.extend(RIVALS);
        }
        Ok(Choice { only, core, connections, effort, rivals })
    }
}

/// Keeps this process and those that it starts on one core.
fn pin(core: usize) -> Outcome<()> {
    // SAFETY: a set of all zeros is the empty set, `CPU_SET` checks `core` against its size, and the call
    // reads exactly the bytes of the set.
    let pinned = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set)
    };
    if pinned == 0 { Ok(()) } else { Err(format!("core {core} is not ours to use").into()) }
}

/// Lets the parties open as many sockets as the system allows them at all.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid `rlimit`; the second is only made with what the first has written. Where
    // they fail, the limit stays and the parties say what they miss.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
