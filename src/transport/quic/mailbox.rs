//! What reaches a connection's task from outside, and what is known of the connection outside.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn_proto::ConnectionEvent;

use super::{CloseCode, carry::Carrier, socket::UdpSocket};
use crate::{limits::QUIC_PACKETS_WAITING_MAX, transport::Ended};

/// One connection's. Putting something in wakes its task.
#[derive(Debug)]
pub(super) struct Mailbox(Mutex<Mail>);

pub(super) struct Mail {
    pub(super) events: VecDeque<ConnectionEvent>,
    pub(super) words: Words,
    /// The task has ended so: nobody reads this any more.
    over: Option<Ended>,
    task: Option<Waker>,
    known: Known,
}

/// What is said to a connection, other than packets.
#[derive(Default)]
pub(super) struct Words {
    pub(super) close: Option<(CloseCode, Bytes)>,
    /// Nobody has the link any more.
    pub(super) is_abandoned: bool,
    /// The endpoint's socket is another now.
    pub(super) moved: Option<Arc<UdpSocket>>,
    /// The dialling side keeps this connection.
    pub(super) is_chosen: bool,
    pub(super) carrier: Option<Box<Carrier>>,
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
            events: VecDeque::new(),
            words: Words::default(),
            over: None,
            task: None,
            known: Known { remote, round_trip: Duration::ZERO, datagrams_sent: 0 },
        }))
    }

    /// A packet for this connection. Where too many wait it is lost, as packets may be.
    pub(super) fn push(&self, event: ConnectionEvent) {
        self.put(|mail| {
            if mail.events.len() < QUIC_PACKETS_WAITING_MAX {
                mail.events.push_back(event);
            }
        });
    }

    /// Closes with `code` and `reason`, unless it is closed already.
    pub(super) fn close(&self, code: CloseCode, reason: Bytes) {
        self.put(|mail| {
            mail.words.close.get_or_insert((code, reason));
        });
    }

    /// The same, by who had the link: nobody will carry.
    pub(super) fn abandon(&self) {
        self.put(|mail| {
            mail.words.close.get_or_insert((CloseCode::Done, Bytes::new()));
            mail.words.is_abandoned = true;
        });
    }

    pub(super) fn move_to(&self, socket: Arc<UdpSocket>) {
        self.put(|mail| mail.words.moved = Some(socket));
    }

    pub(super) fn choose(&self) {
        self.put(|mail| mail.words.is_chosen = true);
    }

    /// Has `carrier` carried. If the task has ended, it is told how, at once and by the caller.
    pub(super) fn carry(&self, carrier: Box<Carrier>) {
        let mut late = Some(carrier);
        let mut over = None;
        self.put(|mail| {
            over.clone_from(&mail.over);
            if over.is_none() {
                mail.words.carrier = late.take();
            }
        });
        if let (Some(late), Some(over)) = (late, over) {
            late.end(over);
        }
    }

    /// As of the last turn.
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

    /// Takes out what has come, as `take` says, and leaves how to wake the task.
    pub(super) fn open<T>(&self, waker: &Waker, take: impl FnOnce(&mut Mail) -> T) -> T {
        let mut mail = self.0.lock();
        super::leave(waker, &mut mail.task);
        take(&mut mail)
    }

    /// A turn has ended, and this is known now.
    pub(super) fn know(&self, known: Known) {
        self.0.lock().known = known;
    }

    /// Keeps room for `events` packets at most, as long as none are there.
    pub(super) fn rest(&self, events: usize) {
        self.0.lock().events.shrink_to(events);
    }

    /// The task ends, and that is how the connection has: who comes later is told so.
    pub(super) fn leave(&self, ended: Ended) {
        let late = {
            let mut mail = self.0.lock();
            mail.over = Some(ended.clone());
            mail.task = None;
            mail.events = VecDeque::new();
            std::mem::take(&mut mail.words)
        };
        if let Some(late) = late.carrier {
            late.end(ended);
        }
    }
}
