//! The Subscription Manager: who gets copies of what, and who may ask for them.
//!
//! Control plane only: it judges requests and edits the FIB through its one writer; no message
//! passes here. It answers in codes and reasons; messages are composed by whoever asked.
//!
//! **The law of ownership.** A session *owns* its runtimeURL, its allocations and what it
//! registered, and has a route for each. It *claims* an unowned address by subscribing to it
//! (topics excepted) or by naming it as `source`, for as long as that subscription stands. Under
//! [`Policy::Owner`] nobody sends from, subscribes as, or subscribes to what another session owns
//! or claims.

mod ownership;
mod request;
mod topic;

pub use ownership::{Ownership, Reason, held_by_other};
pub use request::{Request, RequestError};
pub use topic::is_topic;

use std::{collections::HashMap, fmt};

use smallvec::SmallVec;

use crate::{
    address::{Address, Url},
    fib::{Entry, Fib, FibWriter, Match},
    limits,
    slab::Target,
};

/// Who may use which address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// What another session owns or claims is refused with 403.
    #[default]
    Owner,
    /// No 403s, for closed networks.
    Open,
}

/// Bounds of one Subscription Manager.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// Subscriptions made through one session.
    pub per_session_max: usize,
    /// Subscriptions of all sessions.
    pub all_max: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas {
            per_session_max: limits::SUBSCRIPTIONS_PER_SESSION_MAX,
            all_max: limits::SUBSCRIPTIONS_MAX,
        }
    }
}

/// Subscriptions, ownership and claims of all sessions; a session is named by its [`Target`].
#[derive(Debug)]
pub struct SubscriptionManager {
    policy: Policy,
    quotas: Quotas,
    /// Addresses that nobody may own or claim, being the manager's own side's.
    reserved: Vec<Url>,
    fib: Fib,
    ownership: Ownership,
    made: HashMap<Target, Made>,
    /// How many records ask for the copies that one session gets of one URL.
    copies: ownership::Counted,
    total: usize,
    /// Records whose copies go to another session than the one that made them (policy `open` only).
    foreign: usize,
}

/// What one session has subscribed to.
#[derive(Debug, Default)]
struct Made {
    records: HashMap<Url, SmallVec<[Record; 1]>>,
    count: usize,
}

/// One subscription: as whom, and who gets the copies.
#[derive(Clone, Debug)]
struct Record {
    source: Option<Url>,
    target: Target,
}

impl SubscriptionManager {
    /// A manager that edits the table which `fib` reads. What is `reserved` (and all below it)
    /// counts as owned by nobody's session, so under [`Policy::Owner`] it is refused to everyone.
    pub fn new(policy: Policy, quotas: Quotas, reserved: Vec<Url>, fib: Fib) -> Self {
        SubscriptionManager {
            policy,
            quotas,
            reserved,
            fib,
            ownership: Ownership::default(),
            made: HashMap::new(),
            copies: ownership::Counted::default(),
            total: 0,
            foreign: 0,
        }
    }

    /// Subscribes through `session`: all of the request takes effect, or none of it. The edits are
    /// published.
    ///
    /// # Errors
    /// [`Refused`], in the order 403 before 429 (a 400 is [`Request::read`]'s).
    pub fn subscribe(
        &mut self,
        fib: &mut FibWriter,
        session: Target,
        request: &Request,
    ) -> Result<(), Refused> {
        self.allow(session, &request.from.address())?;
        if let Some(source) = &request.source {
            self.allow(session, &source.address())?;
        }
        for url in request.urls.iter().filter(|url| !is_topic(&url.address())) {
            self.allow(session, &url.address())?;
        }
        self.check_quota(session, request)?;
        if !fib.has_room() {
            return Err(Refused::TableFull);
        }
        let target = self.target(session, request.subscriber());
        for url in &request.urls {
            self.add(fib, session, url, Record { source: request.source.clone(), target });
        }
        fib.publish();
        Ok(())
    }

    /// Removes every subscription to the listed URLs that was made through `session`, whatever
    /// source it had named. What is not there is no error. The edits are published.
    ///
    /// # Errors
    /// [`Refused::Held`] if `from` is another session's.
    pub fn unsubscribe(
        &mut self,
        fib: &mut FibWriter,
        session: Target,
        request: &Request,
    ) -> Result<(), Refused> {
        self.allow(session, &request.from.address())?;
        for url in &request.urls {
            let made = self.made.get_mut(&session);
            let records = made.and_then(|made| made.records.remove(url)).unwrap_or_default();
            self.undo(fib, session, url, records);
        }
        fib.publish();
        Ok(())
    }

    /// Whether `session` may send from, subscribe as, register or subscribe to `address`. One
    /// look-up.
    ///
    /// # Errors
    /// [`Refused::Held`] with the address.
    pub fn allow(&self, session: Target, address: &Address<'_>) -> Result<(), Refused> {
        if self.policy == Policy::Open {
            return Ok(());
        }
        let mut found = Match::default();
        self.fib.look_up(address, &mut found);
        if self.is_reserved(address) || held_by_other(&found, session) {
            return Err(Refused::Held { address: address.to_owned() });
        }
        Ok(())
    }

    /// True for what nobody's session may have.
    pub fn is_reserved(&self, address: &Address<'_>) -> bool {
        self.reserved.iter().any(|own| own.address().covers(address))
    }

    /// Whether `session` may come to own `url`: it may use it, and nothing below it is another
    /// session's already, which owning would silence.
    ///
    /// # Errors
    /// [`Refused::Held`] with the address that is held.
    pub fn allow_owning(&self, session: Target, url: &Url) -> Result<(), Refused> {
        self.allow(session, &url.address())?;
        match self.ownership.held_below(session, url) {
            Some(address) if self.policy == Policy::Owner => {
                Err(Refused::Held { address: address.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Lets `session` own `url` for `reason`. Under [`Policy::Owner`] what others subscribed within it while
    /// nobody owned it ends, for it would take the owner's messages away; topics stay. The edit is
    /// published by the caller.
    pub fn own(&mut self, fib: &mut FibWriter, session: Target, url: &Url, reason: Reason) {
        if self.policy == Policy::Owner {
            self.evict(fib, session, url);
        }
        self.ownership.own(fib, session, url, reason);
    }

    /// Ends one reason to own `url`; false if it did not hold. The edit is published by the caller.
    pub fn disown(
        &mut self,
        fib: &mut FibWriter,
        session: Target,
        url: &Url,
        reason: Reason,
    ) -> bool {
        self.ownership.disown(fib, session, url, reason)
    }

    /// What is owned, and by whom.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Ends `session`: its subscriptions, its claims, and all that it owns. Published.
    pub fn end(&mut self, fib: &mut FibWriter, session: Target) {
        self.end_subscriptions(fib, session);
        self.ownership.end(fib, session);
        self.retarget(fib, session);
        fib.publish();
    }

    /// Ends `old`, and passes what it owns to `new`. Published.
    pub fn supersede(&mut self, fib: &mut FibWriter, old: Target, new: Target) {
        self.end_subscriptions(fib, old);
        self.ownership.pass(fib, old, new);
        self.retarget(fib, old);
        fib.publish();
    }

    /// Subscriptions that stand.
    pub fn len(&self) -> usize {
        self.total
    }

    /// True if no subscription stands.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn check_quota(&self, session: Target, request: &Request) -> Result<(), Refused> {
        let made = self.made.get(&session);
        let is_new = |url: &&Url| {
            let records = made.and_then(|made| made.records.get(*url));
            !records.is_some_and(|records| records.iter().any(|r| r.source == request.source))
        };
        let added = request.urls.iter().filter(is_new).count();
        let counts = [
            (made.map_or(0, |made| made.count), self.quotas.per_session_max),
            (self.total, self.quotas.all_max),
        ];
        for (have, max) in counts {
            if have + added > max {
                return Err(Refused::OverQuota { wanted: have + added, max });
            }
        }
        Ok(())
    }

    /// Who gets the copies: the session that owns the subscriber's address, else the requesting
    /// one.
    fn target(&self, session: Target, subscriber: &Url) -> Target {
        match self.policy {
            Policy::Owner => session,
            Policy::Open => ownership::owner(&self.fib, &subscriber.address()).unwrap_or(session),
        }
    }

    fn add(&mut self, fib: &mut FibWriter, session: Target, url: &Url, record: Record) {
        let made = self.made.entry(session).or_default();
        let records = made.records.entry(url.clone()).or_default();
        if records.iter().any(|known| known.source == record.source) {
            return;
        }
        records.push(record.clone());
        made.count += 1;
        self.total += 1;
        self.foreign += usize::from(record.target != session);
        self.copy(fib, url, record.target);
        for claimed in claims(url, &record) {
            self.ownership.claim(fib, session, claimed);
        }
    }

    fn undo(
        &mut self,
        fib: &mut FibWriter,
        session: Target,
        url: &Url,
        records: SmallVec<[Record; 1]>,
    ) {
        if let Some(made) = self.made.get_mut(&session) {
            made.count -= records.len();
        }
        self.total -= records.len();
        for record in records {
            self.foreign -= usize::from(record.target != session);
            self.uncopy(fib, url, record.target);
            for claimed in claims(url, &record) {
                self.ownership.disclaim(fib, session, claimed);
            }
        }
    }

    fn end_subscriptions(&mut self, fib: &mut FibWriter, session: Target) {
        let Some(made) = self.made.get_mut(&session) else { return };
        for (url, records) in std::mem::take(&mut made.records) {
            self.undo(fib, session, &url, records);
        }
        self.made.remove(&session);
    }

    /// Ends what others than `session` have subscribed at `url` and below, but topics and their own
    /// addresses.
    fn evict(&mut self, fib: &mut FibWriter, session: Target, url: &Url) {
        for (held, by) in self.copies.of_others(session, url) {
            let address = held.address();
            if is_topic(&address) || ownership::owner(&self.fib, &address) == Some(by) {
                continue;
            }
            let records = self.made.get_mut(&by).and_then(|made| made.records.remove(&held));
            if let Some(records) = records {
                self.undo(fib, by, &held, records);
            }
        }
    }

    /// What others had subscribed for an address of `gone` goes to its new owner, else to whoever
    /// asked.
    fn retarget(&mut self, fib: &mut FibWriter, gone: Target) {
        if self.foreign == 0 {
            return;
        }
        fib.publish();
        let mut moved = Vec::new();
        for (session, made) in &mut self.made {
            for (url, records) in &mut made.records {
                for record in records.iter_mut().filter(|record| record.target == gone) {
                    let owned = |source: &Url| ownership::owner(&self.fib, &source.address());
                    let target = record.source.as_ref().and_then(owned).unwrap_or(*session);
                    self.foreign -= usize::from(target == *session);
                    record.target = target;
                    moved.push((url.clone(), target));
                }
            }
        }
        for (url, target) in moved {
            self.uncopy(fib, &url, gone);
            self.copy(fib, &url, target);
        }
    }

    fn copy(&mut self, fib: &mut FibWriter, url: &Url, target: Target) {
        if self.copies.add(url, target) {
            fib.insert(&url.address(), Entry::Subscription { target, exact: false });
        }
    }

    fn uncopy(&mut self, fib: &mut FibWriter, url: &Url, target: Target) {
        if self.copies.remove(url, target) {
            fib.remove(&url.address(), Entry::Subscription { target, exact: false });
        }
    }
}

/// Why a request that could be read was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Another session owns or claims this address: 403.
    Held {
        /// The address.
        address: Url,
    },
    /// There would be too many: 429.
    OverQuota {
        /// How many there would be.
        wanted: usize,
        /// How many there may be.
        max: usize,
    },
    /// The forwarding table holds as much as it may: 429.
    TableFull,
}

impl Refused {
    /// The code of the response: 403 or 429.
    pub fn code(&self) -> u16 {
        match self {
            Refused::Held { .. } => 403,
            Refused::OverQuota { .. } | Refused::TableFull => 429,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Held { address } => write!(f, "{address} is another session's"),
            Refused::OverQuota { wanted, max } => {
                write!(f, "{wanted} would be too many, at most {max} are allowed")
            }
            Refused::TableFull => f.write_str("the forwarding table is full"),
        }
    }
}

impl std::error::Error for Refused {}

/// The addresses that a subscription claims: what it names, topics excepted.
fn claims<'a>(url: &'a Url, record: &'a Record) -> impl Iterator<Item = &'a Url> {
    let named = [Some(url), record.source.as_ref()];
    named.into_iter().flatten().filter(|url| !is_topic(&url.address()))
}
