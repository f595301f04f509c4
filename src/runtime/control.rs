//! The control task: the RuntimeUA's notes, timers and outputs.

use std::{future::poll_fn, sync::Arc, time::Instant};

use tokio::time::sleep_until;
use tracing::{info, warn};

use crate::{
    bus::Note,
    link::Outbox,
    runtime::{Event, p2p_links::P2pLinks, shared::Shared},
    ua::Output,
};

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>, links: Arc<P2pLinks>, inbox: Arc<Outbox<Note>>) {
    loop {
        let due = drive(&shared, &links);
        let timer = async {
            match due {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = poll_fn(|context| inbox.poll_ready(context)) => {}
            () = shared.wake.notified() => {}
            () = timer => {}
        }
    }
}

/// Handles notes and timers, and carries outputs out. Gives back when it is due again.
pub(super) fn drive(shared: &Shared, links: &Arc<P2pLinks>) -> Option<Instant> {
    let mut outputs = Vec::new();
    let due = {
        let mut ua = shared.ua.lock();
        let now = Instant::now();
        ua.handle_notes(now);
        if ua.poll_timeout().is_some_and(|at| at <= now) {
            ua.handle_timeout(now);
        }
        outputs.extend(std::iter::from_fn(|| ua.poll_output()));
        // The lock is let go between two steps, however much there is to do.
        if ua.is_busy() { Some(now) } else { ua.poll_timeout() }
    };
    for output in outputs {
        carry_out(output, shared, links);
    }
    shared.progress.notify_waiters();
    due
}

fn carry_out(output: Output, shared: &Shared, links: &Arc<P2pLinks>) {
    match output {
        Output::Ready => shared.events.send(Event::Ready),
        Output::Status { stub, value, resource, desc } => {
            info!(%stub, %value, %resource, desc, "P2P connection");
            shared.events.send(Event::Status { stub, value, resource, desc });
        }
        Output::PathChanged(change) => {
            info!(remote = %change.remote, to = ?change.to, why = %change.why, "path");
            shared.paths.tell(&change);
        }
        Output::Undelivered { message, code } => {
            shared.events.send(Event::Undelivered { message, code });
        }
        Output::Dial { connection, description } => links.dial(connection, description),
        Output::Expect { connection, fingerprint } => links.expect(connection, &fingerprint),
        Output::Close { connection, reason } => links.close_one(connection, &reason),
        Output::Log(line) => warn!("{line}"),
    }
}
