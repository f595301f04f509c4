//! The control plane of the node: sessions and services, under one lock.
//!
//! No ordinary message passes here. What it decides it writes into the FIB and the slab, where the
//! data plane reads it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use crate::{
    address::{Address, Url},
    fib::FibWriter,
    message::{Kind, Message},
    node::{
        allocated::Allocations,
        config::NodeLimits,
        domain_registry::DomainRegistry,
        metrics::{Counters, DropReason, Metrics},
        random::Random,
        reply::Reply,
        socket::{SessionQueue, Socket},
    },
    slab::{self, SlabWriter, Target},
    subscription::{Reason, Refused, Request, SubscriptionManager},
};

/// All that one thread at a time may change.
pub(super) struct Control {
    pub(super) domain: String,
    pub(super) limits: NodeLimits,
    pub(super) fib: FibWriter,
    pub(super) queues: SlabWriter<Arc<SessionQueue>>,
    pub(super) manager: SubscriptionManager,
    pub(super) sessions: HashMap<Target, Session>,
    pub(super) by_runtime: HashMap<Url, Target>,
    pub(super) by_token: HashMap<String, Target>,
    /// Sessions without a socket, by when they end.
    pub(super) dropped: BTreeSet<(Instant, Target)>,
    pub(super) registry: Box<dyn DomainRegistry>,
    pub(super) random: Random,
    pub(super) counters: Arc<Counters>,
}

/// One session, as the control plane knows it.
pub(super) struct Session {
    pub(super) runtime: Url,
    pub(super) token: String,
    pub(super) queue: Arc<SessionQueue>,
    pub(super) on: Standpoint,
    pub(super) allocations: Allocations,
}

/// Where a session stands.
pub(super) enum Standpoint {
    /// On this socket.
    Socket(Arc<Socket>),
    /// On none; it ends at this time.
    Dropped(Instant),
}

/// Which service an address of the node's own is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    SubscriptionManager,
    Allocation,
    Registry,
}

impl Control {
    /// Answers one request to a service.
    pub(super) fn serve(
        &mut self,
        service: Service,
        session: Target,
        message: &Message,
        now: Instant,
    ) -> Option<Reply> {
        // The session may have ended between the look at the socket and the lock.
        self.sessions.get(&session)?;
        Some(match service {
            Service::SubscriptionManager => self.subscription_request(session, message),
            Service::Allocation => self.allocation_request(session, message),
            Service::Registry => self.registry_request(session, message, now),
        })
    }

    /// A 403 if the sender uses another session's address, a 400 if it uses none.
    pub(super) fn allow_from(&self, session: Target, message: &Message) -> Result<(), Reply> {
        let from = message.from();
        let from = Address::parse(&from)
            .map_err(|error| Reply::error(400, format_args!("`from`: {error}")))?;
        Ok(self.manager.allow(session, &from)?)
    }

    pub(super) fn session(&self, session: Target) -> &Session {
        &self.sessions[&session]
    }

    pub(super) fn session_mut(&mut self, session: Target) -> &mut Session {
        self.sessions.get_mut(&session).expect("a session that is being served is there")
    }

    /// Ends a session: its subscriptions and claims, what it owns, its queue. Its entries in the
    /// domain registry stay, as disconnected ones.
    pub(super) fn end_session(&mut self, session: Target, now: Instant) {
        for url in self.manager.ownership().of(session, Reason::Registration) {
            self.registry.disconnect(&url, now);
        }
        self.manager.end(&mut self.fib, session);
        self.forget(session);
    }

    /// Takes a session out of every table; nothing in the FIB may point at it any more.
    pub(super) fn forget(&mut self, target: Target) -> Option<Session> {
        let session = self.sessions.remove(&target)?;
        self.by_token.remove(&session.token);
        if self.by_runtime.get(&session.runtime) == Some(&target) {
            self.by_runtime.remove(&session.runtime);
        }
        match &session.on {
            Standpoint::Socket(socket) => socket.detach(),
            Standpoint::Dropped(deadline) => {
                self.dropped.remove(&(*deadline, target));
            }
        }
        let lost = session.queue.end();
        self.counters.row(target.0).drop_many(DropReason::SessionEnded, lost);
        self.queues.remove(target);
        slab::hand_on();
        Some(session)
    }

    /// Ends the sessions whose time without a socket is over, and lets registry entries expire.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, session)) = self.dropped.first() {
            if deadline > now {
                break;
            }
            self.end_session(session, now);
        }
        self.registry.handle_timeout(now);
    }

    /// When there is something to do next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let dropped = self.dropped.first().map(|(deadline, _)| *deadline);
        [dropped, self.registry.poll_timeout()].into_iter().flatten().min()
    }

    /// The part of the metrics that is known here. O(sessions).
    pub(super) fn read(&self, metrics: &mut Metrics) {
        metrics.sessions = self.sessions.len();
        metrics.subscriptions = self.manager.len();
        metrics.registry_entries = self.registry.len();
        for session in self.sessions.values() {
            let (items, bytes) = session.queue.held();
            metrics.queue_items += items;
            metrics.queue_bytes += bytes;
        }
    }

    fn subscription_request(&mut self, session: Target, message: &Message) -> Reply {
        let request = match Request::read(message) {
            Ok(request) => request,
            Err(error) => return Reply::error(400, error),
        };
        let done: Result<(), Refused> = match message.kind() {
            Kind::Subscribe => self.manager.subscribe(&mut self.fib, session, &request),
            _ => self.manager.unsubscribe(&mut self.fib, session, &request),
        };
        done.map_or_else(Reply::from, |()| Reply::ok())
    }
}
