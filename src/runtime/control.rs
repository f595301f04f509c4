//! The control task: the RuntimeUA's notes, timers and outputs.

use std::{future::poll_fn, sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};
use tracing::{info, warn};

use crate::{
    bus::Note,
    link::Outbox,
    runtime::{Event, events::EventSender, p2p_links::P2pLinks},
    ua::{Output, RuntimeUa},
};

/// What the tasks of one runtime share.
pub(super) struct Shared {
    pub(super) ua: Mutex<RuntimeUa>,
    /// The control task has something to do.
    pub(super) wake: Arc<Notify>,
    /// Something has left a queue or a window.
    pub(super) progress: Arc<Notify>,
    pub(super) events: EventSender,
    pub(super) links: P2pLinks,
}

impl Shared {
    /// Does something with the control plane, whose outputs are then carried out by its task.
    pub(super) fn with_ua<R>(&self, act: impl FnOnce(&mut RuntimeUa) -> R) -> R {
        let done = act(&mut self.ua.lock());
        self.wake.notify_one();
        done
    }

    /// Handles notes and timers, and carries outputs out. Gives back when it is due again.
    pub(super) fn drive(self: &Arc<Self>) -> Option<Instant> {
        let mut outputs = Vec::new();
        let due = {
            let mut ua = self.ua.lock();
            let now = Instant::now();
            ua.handle_notes(now);
            if ua.poll_timeout().is_some_and(|at| at <= now) {
                ua.handle_timeout(now);
            }
            outputs.extend(std::iter::from_fn(|| ua.poll_output()));
            ua.poll_timeout()
        };
        for output in outputs {
            self.carry_out(output);
        }
        self.progress.notify_waiters();
        due
    }

    fn carry_out(self: &Arc<Self>, output: Output) {
        match output {
            Output::Ready => self.events.send(Event::Ready),
            Output::Status { stub, value, resource, desc } => {
                info!(%stub, %value, %resource, desc, "P2P connection");
                self.events.send(Event::Status { stub, value, resource, desc });
            }
            Output::Undelivered { message, code } => {
                self.events.send(Event::Undelivered { message, code });
            }
            Output::Dial { connection, description } => {
                P2pLinks::dial(self, connection, description);
            }
            Output::Expect { connection, fingerprint } => {
                P2pLinks::expect(self, connection, &fingerprint);
            }
            Output::Close { connection, reason } => self.links.close_one(connection, &reason),
            Output::Log(line) => warn!("{line}"),
        }
    }
}

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>, inbox: Arc<Outbox<Note>>) {
    loop {
        let due = shared.drive();
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
