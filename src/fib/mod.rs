//! The forwarding information base: which entries cover an address.
//!
//! A radix trie over segments. A node stands for a prefix, `scheme://domain` or longer, and knows
//! its parent, its segment, how many children it has and its entries. A hash directory indexes the
//! nodes by a keyed hash of their whole prefix, so that a look-up has the place of every node on
//! its way before it reads the first, and a node with a million children is as good as any other.
//! Readers are wait-free; the one writer edits in place by single atomic stores; memory is given up
//! through crossbeam-epoch.
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
