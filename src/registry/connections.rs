//! The Registry's table of P2P connections, driven by the stubs' status events.
//!
//! Carries out "New P2P Connection event" and "P2P Connection Update event". It judges an event and says what
//! changed; what follows from that (listeners, subscriptions, the peer's path) is the RuntimeUA's to do.

use std::collections::HashMap;

use crate::{
    address::Url,
    limits,
    status::{Status, Step},
};

/// Which kind of stub owns a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The P2P Handler stub: one per runtime, many connections.
    Handler,
    /// A P2P Requester stub: one per remote runtime.
    Requester,
}

impl Role {
    /// By the URL of the stub: `…/p2phandler/…` or `…/p2prequester/…` below the runtime.
    pub fn of_stub(runtime: &Url, stub: &Url) -> Option<Role> {
        let rest = stub.as_str().strip_prefix(runtime.as_str())?.strip_prefix('/')?;
        match rest.split_once('/') {
            Some(("p2phandler", id)) if !id.contains('/') => Some(Role::Handler),
            Some(("p2prequester", id)) if !id.contains('/') => Some(Role::Requester),
            _ => None,
        }
    }
}

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct P2pConnection {
    /// Which kind of stub owns it.
    pub role: Role,
    /// Counted by the owning stub, from 1.
    pub generation: u64,
    /// Where it stands.
    pub status: Status,
}

/// A status event as the Registry reads it from a message to `<P2PStubURL>/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEvent {
    /// The stub that owns the connection.
    pub stub: Url,
    /// Which kind it is.
    pub role: Role,
    /// The remote runtime.
    pub remote: Url,
    /// The new status.
    pub status: Status,
    /// The stub's number for the generation; `None` where events carry none.
    pub generation: Option<u64>,
}

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The status is now what the event says, in this generation.
    Applied {
        /// The generation.
        generation: u64,
        /// A new generation has begun (the old one, if it was live, is over).
        renewed: bool,
        /// What it was before; `None` for a new entry.
        before: Option<Status>,
    },
    /// Nothing changed: late, repeated or forbidden.
    Ignored(&'static str),
}

/// The table: by stub and remote runtime.
#[derive(Debug, Default)]
pub struct Connections {
    entries: HashMap<(Url, Url), P2pConnection>,
}

impl Connections {
    /// Judges `event` and, if it counts, takes it over. Entries of a Handler that are over are removed.
    pub fn apply(&mut self, event: &StatusEvent) -> Change {
        let key = (event.stub.clone(), event.remote.clone());
        let Some(entry) = self.entries.get_mut(&key) else {
            return self.begin(key, event);
        };
        let before = entry.status;
        let (step, generation) = match event.generation {
            Some(number) if number < entry.generation => {
                return Change::Ignored("of an older generation");
            }
            Some(number) if number > entry.generation => (renewal(entry, event), number),
            Some(number) => (before.step_within(event.status), number),
            None => {
                let may_start_live = entry.role == Role::Requester;
                let step = before.step_unnumbered(event.status, may_start_live);
                (step, entry.generation + u64::from(step == Step::Renew))
            }
        };
        match step {
            Step::Repeat => return Change::Ignored("a repeat"),
            Step::Forbidden => return Change::Ignored("not a step from the present status"),
            Step::Advance | Step::Renew => {}
        }
        entry.status = event.status;
        entry.generation = generation;
        if event.role == Role::Handler && event.status.is_end() {
            self.entries.remove(&key);
        }
        Change::Applied { generation, renewed: step == Step::Renew, before: Some(before) }
    }

    /// The connections to `remote`, whoever owns them.
    pub fn to_runtime<'a>(
        &'a self,
        remote: &'a Url,
    ) -> impl Iterator<Item = (&'a Url, &'a P2pConnection)> {
        self.entries
            .iter()
            .filter(move |((_, to), _)| to == remote)
            .map(|((stub, _), connection)| (stub, connection))
    }

    /// Removes every entry of a runtime that is forgotten. O(entries).
    pub fn forget(&mut self, remote: &Url) {
        self.entries.retain(|(_, to), _| to != remote);
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn begin(&mut self, key: (Url, Url), event: &StatusEvent) -> Change {
        let starts = match event.status {
            Status::Created | Status::InProgress => true,
            // created → live is a step, but a connection nobody has announced cannot be live.
            Status::Live | Status::Failed | Status::Disconnected => false,
        };
        if !starts {
            return Change::Ignored("of a connection that was never created");
        }
        let under_way = self.entries.values().filter(|of| !of.status.is_end()).count();
        if under_way >= limits::P2P_CONNECTIONS_MAX {
            return Change::Ignored("over the bound of connections");
        }
        let generation = event.generation.unwrap_or(1);
        let entry = P2pConnection { role: event.role, generation, status: event.status };
        self.entries.insert(key, entry);
        Change::Applied { generation, renewed: true, before: None }
    }
}

/// Whether a new, numbered generation may start with `event`.
fn renewal(entry: &P2pConnection, event: &StatusEvent) -> Step {
    match event.status {
        Status::Created | Status::InProgress => Step::Renew,
        Status::Live if entry.role == Role::Requester && entry.status == Status::Disconnected => {
            Step::Renew
        }
        _ => Step::Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(status: Status, generation: Option<u64>) -> StatusEvent {
        StatusEvent {
            stub: Url::parse("hyperty-runtime://a/alice/p2phandler/1").unwrap(),
            role: Role::Handler,
            remote: Url::parse("hyperty-runtime://b/bob").unwrap(),
            status,
            generation,
        }
    }

    #[test]
    fn a_connection_begins_created_and_a_handlers_entry_goes_at_its_end() {
        let mut table = Connections::default();
        assert!(matches!(table.apply(&event(Status::Live, None)), Change::Ignored(_)));
        assert!(matches!(table.apply(&event(Status::Created, None)), Change::Applied { .. }));
        assert!(matches!(table.apply(&event(Status::Created, None)), Change::Ignored(_)));
        assert!(matches!(table.apply(&event(Status::Live, None)), Change::Applied { .. }));
        assert!(matches!(table.apply(&event(Status::InProgress, None)), Change::Ignored(_)));
        assert!(matches!(table.apply(&event(Status::Disconnected, None)), Change::Applied { .. }));
        assert!(table.is_empty());
    }

    #[test]
    fn a_late_event_of_an_older_generation_changes_nothing() {
        let mut table = Connections::default();
        let requester = |status, generation| StatusEvent {
            role: Role::Requester,
            ..event(status, Some(generation))
        };
        for (status, generation, counts) in [
            (Status::Created, 1, true),
            (Status::Live, 1, true),
            (Status::InProgress, 2, true),
            (Status::Disconnected, 1, false),
            (Status::Live, 2, true),
            (Status::Live, 3, false),
            (Status::Disconnected, 2, true),
            (Status::Live, 3, true),
        ] {
            let change = table.apply(&requester(status, generation));
            assert_eq!(matches!(change, Change::Applied { .. }), counts, "{status} {generation}");
        }
    }

    #[test]
    fn the_role_is_read_off_the_url() {
        let runtime = Url::parse("hyperty-runtime://a/alice").unwrap();
        let role = |url: &str| Role::of_stub(&runtime, &Url::parse(url).unwrap());
        assert_eq!(role("hyperty-runtime://a/alice/p2phandler/1"), Some(Role::Handler));
        assert_eq!(role("hyperty-runtime://a/alice/p2prequester/x"), Some(Role::Requester));
        assert_eq!(role("hyperty-runtime://a/alice/p2phandler/1/c"), None);
        assert_eq!(role("hyperty-runtime://a/alicep2phandler/1"), None);
        assert_eq!(role("hyperty-runtime://a/bob/p2phandler/1"), None);
    }
}
