//! The forwarding information base: which entries cover an address.
//!
//! A radix trie over segments. A node stands for a prefix, `scheme://domain` or longer, and knows
//! its parent and its segment; what it carries, and whether it has children, stands where it is
//! found. A hash directory indexes the nodes by a keyed hash of their whole prefix, so that the
//! place of a node is known before any other is read, and a node with a million children is as good
//! as any other. Readers are wait-free; the one writer edits in place by single atomic stores;
//! memory is given up through crossbeam-epoch.
//!
//! ```text
//!  `to` ──hash──► part ─► line of 64 bytes: tags, [entries · children? · node] × 7
//!  to the end of             (directory, line, slot)  │ the answer        │
//!  the first segment                                  ▼                   ▼
//!                                       one target, or a list      record: parent, segment
//!                                       (entries, lists)           (node, arena), checked behind
//! ```
//!
//! A look-up begins at the end of the first segment: its answer depends on one line, and that the
//! name is the right one is checked behind it, by the node's record and its parent's. If the node
//! has no children, the rest of the address is not even hashed; if it has, all further lines are
//! asked for at once. Entries on a bare `scheme://domain`, of which the running system has those of
//! the stubs on `domain://<domain>`, are looked for in schemes of a length that has any.
//!
//! | file | what it is |
//! |---|---|
//! | `hash`, `text` | the keyed hash of a prefix; finding `/` and comparing, by sixteen bytes |
//! | `slot`, `line` | the word that a look-up answers from; seven of them and their tags |
//! | `directory`, `growth` | which lines a hash falls into; how the writer makes more and fewer |
//! | `arena`, `regions` | records by 28-bit number, and the huge pages that those of a large table stand on |
//! | `node`, `lists`, `entries` | what stands in a record |
//! | `retire` | what was taken out and readers may still be at |
//! | `reader`, `found`, `writer`, `load` | look-ups and edits, made of the above |
//!
//! It knows neither what a target is nor what may be put on which prefix: that is policy, above.
//!
//! ```
//! use hyperty_router::{address::Address, fib::{Entry, FibWriter, Match}, slab::Target};
//!
//! let mut writer = FibWriter::new();
//! let fib = writer.reader();
//! let prefix = Address::parse("hyperty://example.org/alice")?;
//! writer.insert(&prefix, Entry::Listener { target: Target(7), exact: false });
//! writer.publish();
//!
//! let mut found = Match::default();
//! fib.look_up(&Address::parse("hyperty://example.org/alice/chat")?, &mut found);
//! assert_eq!(found.listeners[..], [Target(7)]);
//! assert_eq!(found.listener_len as usize, prefix.as_str().len());
//! # Ok::<(), hyperty_router::address::AddressError>(())
//! ```

mod arena;
mod directory;
mod entries;
mod found;
mod growth;
mod hash;
mod line;
mod lists;
mod load;
mod node;
mod reader;
mod regions;
mod retire;
mod slot;
mod table;
mod text;
mod writer;

use smallvec::SmallVec;

pub use self::{reader::Fib, writer::FibWriter};
use crate::{address::Address, slab::Target};

/// The kinds of entry that one prefix can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// A local listener: a route whose `to` lives here. Several may stand on one prefix.
    Listener {
        /// Who listens.
        target: Target,
        /// Only this very address; passed over below it.
        exact: bool,
    },
    /// Asks for copies, whatever else matches.
    Subscription {
        /// Who gets the copies.
        target: Target,
        /// Only this very address.
        exact: bool,
    },
    /// What is sent here or below goes to the local listeners *and* onward.
    Publish,
    /// Where the addresses from here on live: a session, a remote runtime, a MN stub. One a prefix.
    Route {
        /// Who takes them.
        target: Target,
    },
}

/// What one look-up found. Reused from look-up to look-up; the inline capacity makes it
/// allocation-free for up to four listeners and four subscriptions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Match {
    /// The listeners of the longest prefix that has one for this address, each once, by number.
    pub listeners: SmallVec<[Target; 4]>,
    /// That prefix's length in bytes (0: none).
    pub listener_len: u16,
    /// Every subscription that covers the address, shortest prefix first, by number within one; a
    /// target more than once if it is subscribed on several prefixes.
    pub subscriptions: SmallVec<[Target; 4]>,
    /// Length in bytes of the longest prefix with such a subscription (0: none).
    pub subscription_len: u16,
    /// The route of the longest prefix that has one.
    pub route: Option<Target>,
    /// That prefix's length in bytes (0: none).
    pub route_len: u16,
    /// Some covering prefix is marked for publishing.
    pub publish: bool,
}

/// The segment that `prefix` adds to the one that ended at `start`, without its `/`; all of
/// `scheme://domain` for the first, which starts at 0.
fn segment_of<'a>(address: &Address<'a>, start: usize, prefix: hash::Prefix) -> &'a [u8] {
    let from = if start == 0 { 0 } else { start + 1 };
    &address.as_str().as_bytes()[from..prefix.end as usize]
}
