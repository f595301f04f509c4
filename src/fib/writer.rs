//! The writing side: the trie's nodes made, edited and taken away again.
//!
//! A node stands for each prefix that carries an entry and for each prefix of such a one; it goes when it
//! has neither entries nor children. Every edit is seen by readers as soon as it is made, parents before
//! children and children gone before parents.

use std::{fmt, sync::Arc};

use crossbeam_epoch::{self as epoch, Guard};
use smallvec::SmallVec;

use super::{
    Entry, Fib, directory::high, entries::EntryWriter, hash::Prefix, node::Node, segment_of,
    table::Table,
};
use crate::address::Address;

/// The one writer of a table. Dropping it leaves its readers an empty one.
pub struct FibWriter {
    table: Arc<Table>,
    entries: EntryWriter,
    /// Prefixes with an entry.
    prefixes: usize,
    nodes: usize,
    node_bytes: usize,
}

impl FibWriter {
    /// An empty table, with a random key of its own.
    ///
    /// # Panics
    /// If the operating system gives no random bytes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let entries = EntryWriter::new();
        let table = Table::new(entries.reader());
        FibWriter { table, entries, prefixes: 0, nodes: 0, node_bytes: 0 }
    }

    /// A handle that reads what this writer writes.
    pub fn reader(&self) -> Fib {
        Fib { table: Arc::clone(&self.table) }
    }

    /// Puts `entry` on `prefix`. A second `Route` on one prefix replaces the first, which is returned; an
    /// entry that is already there changes nothing.
    ///
    /// O(length of the prefix) amortised, and O(entries on this very prefix) if there are several.
    pub fn insert(&mut self, prefix: &Address<'_>, entry: Entry) -> Option<Entry> {
        let table = Arc::clone(&self.table);
        let guard = epoch::pin();
        let node = self.node_or_new(&table, prefix, &guard);
        let word = node.entries();
        self.prefixes += usize::from(word == 0);
        self.entries.insert(word, entry, &guard, |word| node.set_entries(word))
    }

    /// Takes `entry` off `prefix`; false if it was not there. Its memory comes back when no reader that
    /// is at it can be left.
    ///
    /// O(length of the prefix) amortised, and O(entries on this very prefix) if there are several.
    pub fn remove(&mut self, prefix: &Address<'_>, entry: Entry) -> bool {
        let table = Arc::clone(&self.table);
        let guard = epoch::pin();
        let path = path(&table, prefix, &guard);
        let Some(node) = whole(&path, prefix) else {
            return false;
        };
        if !self.entries.remove(node.entries(), entry, &guard, |word| node.set_entries(word)) {
            return false;
        }
        if node.entries() == 0 {
            self.prefixes -= 1;
            self.prune(&table, &path, &guard);
        }
        true
    }

    /// Makes all edits so far visible to readers, at the latest now, and hands on what they gave up for
    /// freeing.
    pub fn publish(&mut self) {
        epoch::pin().flush();
        self.entries.sweep();
    }

    /// The entries that stand exactly on `prefix`, in the order of [`Entry`].
    pub fn entries(&self, prefix: &Address<'_>) -> SmallVec<[Entry; 4]> {
        let guard = epoch::pin();
        let node = whole(&path(&self.table, prefix, &guard), prefix);
        node.map_or_else(SmallVec::new, |node| self.entries.entries(node.entries()))
    }

    /// Prefixes that carry at least one entry. O(1).
    pub fn len(&self) -> usize {
        self.prefixes
    }

    /// True if no prefix carries an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nodes of the trie: the prefixes with an entry and those that lead to one. 0 if the table is
    /// empty. O(1).
    pub fn node_count(&self) -> usize {
        self.nodes
    }

    /// Bytes that the table is allocated with: its directory, nodes and lists of entries, without the
    /// allocator's own and without [`Self::retired_bytes`]. O(1).
    pub fn memory_bytes(&self) -> usize {
        let directory_bytes = self.table.directory(&epoch::pin()).bytes();
        directory_bytes + self.node_bytes + self.entries.bytes()
    }

    /// Bytes of nodes and directories that were taken out and wait for readers that might still be at
    /// them. Goes to 0 as threads pin and leave epochs. O(1).
    pub fn retired_bytes(&self) -> usize {
        self.table.retired_bytes()
    }

    fn node_or_new<'g>(
        &mut self,
        table: &'g Arc<Table>,
        address: &Address<'_>,
        guard: &'g Guard,
    ) -> Node<'g> {
        let mut directory = table.directory(guard);
        let (mut parent, mut start) = (None, 0);
        for prefix in prefixes(table, address) {
            let segment = segment_of(address, start, prefix);
            let found = directory.find(prefix.hash, parent, segment);
            parent = Some(found.unwrap_or_else(|| {
                if directory.is_too_small_for(self.nodes + 1) {
                    table.replace_directory(directory.resized(self.nodes + 1), guard);
                    directory = table.directory(guard);
                }
                let node = Node::new(parent, segment, high(prefix.hash));
                directory.insert(prefix.hash, node);
                self.count_node(parent, node);
                node
            }));
            start = prefix.end as usize;
        }
        parent.expect("an address has at least the prefix that ends with its authority")
    }

    fn count_node(&mut self, parent: Option<Node<'_>>, node: Node<'_>) {
        if let Some(parent) = parent {
            parent.add_child();
        }
        self.nodes += 1;
        self.node_bytes += node.bytes();
    }

    /// Takes the unused nodes at the end of `path` away.
    fn prune(&mut self, table: &Arc<Table>, path: &Path<'_>, guard: &Guard) {
        let directory = table.directory(guard);
        for (at, node) in path.iter().enumerate().rev().take_while(|(_, node)| node.is_unused()) {
            directory.remove(*node);
            if at > 0 {
                path[at - 1].remove_child();
            }
            self.nodes -= 1;
            self.node_bytes -= node.bytes();
            // SAFETY: it was taken out of the current directory just now, and so can't be found again.
            unsafe { table.retire(*node, guard) };
        }
        if directory.is_too_large_for(self.nodes) {
            table.replace_directory(directory.resized(self.nodes), guard);
        }
    }
}

impl Drop for FibWriter {
    fn drop(&mut self) {
        let guard = epoch::pin();
        self.table.clear(&guard);
        guard.flush();
    }
}

impl fmt::Debug for FibWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FibWriter")
            .field("prefixes", &self.prefixes)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// The nodes of the prefixes of an address, as far as there are any.
type Path<'g> = SmallVec<[Node<'g>; 8]>;

fn path<'g>(table: &'g Table, address: &Address<'_>, guard: &'g Guard) -> Path<'g> {
    let directory = table.directory(guard);
    let (mut path, mut start) = (Path::new(), 0);
    for prefix in prefixes(table, address) {
        let segment = segment_of(address, start, prefix);
        let Some(node) = directory.find(prefix.hash, path.last().copied(), segment) else {
            break;
        };
        path.push(node);
        start = prefix.end as usize;
    }
    path
}

/// The node of the whole of `address`, if its path goes that far.
fn whole<'g>(path: &Path<'g>, address: &Address<'_>) -> Option<Node<'g>> {
    path.get(address.boundaries().count() - 1).copied()
}

fn prefixes(table: &Table, address: &Address<'_>) -> SmallVec<[Prefix; 8]> {
    let mut prefixes = SmallVec::new();
    table.hasher.prefixes(address, |prefix| prefixes.push(prefix));
    prefixes
}
