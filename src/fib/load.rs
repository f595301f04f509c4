//! Many entries at once.

use super::{
    Entry, FibWriter,
    writer::{Way, way},
};
use crate::{
    address::Address,
    limits::{FIB_BATCH_MAX, FIB_LOAD_PROMISED_MAX},
};

impl FibWriter {
    /// Puts all `entries` in, as [`FibWriter::insert`] would one after another. Into an empty table
    /// it is some times faster: the directory is made for as many as the iterator promises at
    /// least, and the memory accesses of [`FIB_BATCH_MAX`] of them are overlapped. Readers see each
    /// entry as soon as it is in.
    ///
    /// # Panics
    /// As [`FibWriter::insert`].
    pub fn load<'a>(&mut self, entries: impl IntoIterator<Item = (Address<'a>, Entry)>) {
        let mut entries = entries.into_iter();
        let promised = entries.size_hint().0.min(FIB_LOAD_PROMISED_MAX);
        if promised > 0 {
            self.reserve(promised);
        }
        let mut batch: Vec<(Address<'a>, Entry, Way)> = Vec::with_capacity(FIB_BATCH_MAX);
        loop {
            batch.clear();
            for (address, entry) in entries.by_ref().take(FIB_BATCH_MAX) {
                let way = way(&self.table, &address);
                way.iter().for_each(|prefix| self.table.directory.prefetch(prefix.hash));
                batch.push((address, entry, way));
            }
            if batch.is_empty() {
                return;
            }
            for (address, entry, way) in &batch {
                self.insert_by(address, way, *entry);
            }
        }
    }
}
