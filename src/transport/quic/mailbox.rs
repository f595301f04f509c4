//! What reaches a connection's task from outside, and what is known of the connection outside.

use std::{net::SocketAddr, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn_proto::ConnectionEvent;

use super::{CloseCode, carry::Carrier, socket::UdpSocket};
use crate::{limits::QUIC_PACKETS_WAITING_MAX, transport::Ended};

/// One connection's. Putting something in wakes its task.
#[derive(Debug)]
pub(super) struct Mailbox(Mutex<Mail>);

pub(super) struct Mail {
    pub(super) events: Vec<ConnectionEvent>,
    pub(super) close: Option<(CloseCode, Bytes)>,
    /// The endpoint's socket is another now.
    pub(super) moved: Option<Arc<UdpSocket>>,
    /// The dialling side keeps this connection.
    pub(super) is_chosen: bool,
    pub(super) carrier: Option<Carrier>,
    /// The task has ended: nobody reads this any more.
    is_over: bool,
    task: Option<Waker>,
    known: Known,
}

/// What is known of a connection outside its task, as of its last turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) remote: SocketAddr,
    pub(super) round_trip: Duration,
    pub(super) datagrams_sent: u64,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Mailbox {
    pub(super) fn new(remote: SocketAddr) -> Self {
        Mailbox(Mutex::new(Mail {
            events: Vec::new(),
            close: None,
            moved: None,
            is_chosen: false,
            carrier: None,
            is_over: false,
            task: None,
            known: Known { remote, round_trip: Duration::ZERO, datagrams_sent: 0 },
        }))
    }

    /// A packet for this connection. Where too many wait it is lost, as packets may be.
    pub(super) fn push(&self, event: ConnectionEvent) {
        self.put(|mail| {
            if mail.events.len() < QUIC_PACKETS_WAITING_MAX {
                mail.events.push(event);
            }
        });
    }

    /// Closes with `code` and `reason`, unless it is closed already.
    pub(super) fn close(&self, code: CloseCode, reason: Bytes) {
        self.put(|mail| {
            mail.close.get_or_insert((code, reason));
        });
    }

    pub(super) fn move_to(&self, socket: Arc<UdpSocket>) {
        self.put(|mail| mail.moved = Some(socket));
    }

    pub(super) fn choose(&self) {
        self.put(|mail| mail.is_chosen = true);
    }

    /// Has `carrier` carried. It is told of the end at once if that has been already.
    pub(super) fn carry(&self, carrier: Carrier) {
        let mut late = Some(carrier);
        self.put(|mail| {
            if !mail.is_over {
                mail.carrier = late.take();
            }
        });
        if let Some(late) = late {
            late.end(Ended::Lost { reason: "it had ended before".to_owned() });
        }
    }

    pub(super) fn known(&self) -> Known {
        self.0.lock().known
    }

    fn put(&self, what: impl FnOnce(&mut Mail)) {
        let mut mail = self.0.lock();
        what(&mut mail);
        if let Some(task) = &mail.task {
            task.wake_by_ref();
        }
    }

    /// Takes out what has come, as `take` says, and leaves how to wake the task and what is known now.
    pub(super) fn open<T>(
        &self,
        waker: &Waker,
        known: Known,
        take: impl FnOnce(&mut Mail) -> T,
    ) -> T {
        let mut mail = self.0.lock();
        if !mail.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            mail.task = Some(waker.clone());
        }
        mail.known = known;
        take(&mut mail)
    }

    /// Keeps room for `events` packets at most, as long as none are there.
    pub(super) fn rest(&self, events: usize) {
        self.0.lock().events.shrink_to(events);
    }

    /// The task ends: what comes later is refused.
    pub(super) fn leave(&self) {
        let late = {
            let mut mail = self.0.lock();
            mail.is_over = true;
            mail.task = None;
            mail.events = Vec::new();
            mail.carrier.take()
        };
        drop(late);
    }
}
