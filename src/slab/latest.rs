//! One value, replaced as a whole, that any thread reads without a lock.
//!
//! For what is read much more often than it changes and is small enough to be copied for each change. It
//! knows nothing of what the value is.

use std::{fmt, sync::atomic::Ordering};

use crossbeam_epoch::{self as epoch, Atomic, Guard, Owned};

/// The value and its replacements. 8 bytes, and the value in a box of its own.
pub struct Latest<T> {
    at: Atomic<T>,
}

impl<T: Send + Sync + 'static> Latest<T> {
    /// With `value` to begin with.
    pub fn new(value: T) -> Self {
        Latest { at: Atomic::new(value) }
    }

    /// The value as it is now, for as long as `guard` is held, whatever replaces it meanwhile. Wait-free,
    /// O(1).
    ///
    /// # Panics
    /// If `guard` belongs to another collector than crossbeam-epoch's default one: it would protect nothing.
    #[inline]
    pub fn get<'g>(&'g self, guard: &'g Guard) -> &'g T {
        let is_default = guard.collector().is_none_or(|its| its == epoch::default_collector());
        assert!(is_default, "the guard of a foreign collector does not protect a value");
        // SAFETY: there always is a value, initialised before it was stored. One that is replaced is dropped
        // through the default collector, when the guards of then are gone; the last one with `self`, which is
        // borrowed as long.
        unsafe { self.at.load(Ordering::Acquire, guard).deref() }
    }

    /// Replaces the value; readers see the old one or the new one. The old one is dropped once no reader can
    /// see it any more, by whichever thread finds that out: [`hand_on`](super::hand_on) has that be soon.
    /// Whoever makes the new one of the old one keeps other writers out meanwhile.
    pub fn set(&self, value: T) {
        let guard = epoch::pin();
        let old = self.at.swap(Owned::new(value), Ordering::AcqRel, &guard);
        // SAFETY: nobody finds the old value any more, each is taken out once, and `T` is `Send`.
        unsafe { guard.defer_destroy(old) };
    }
}

impl<T> Drop for Latest<T> {
    fn drop(&mut self) {
        let last = std::mem::replace(&mut self.at, Atomic::null());
        // SAFETY: there always is a value, and readers of it have borrowed `self`, so there are none.
        drop(unsafe { last.into_owned() });
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A value that was read stays as long as its guard; in the end none is left.
    #[test]
    fn what_is_read_stays_until_its_guard_goes() {
        let token = Arc::new(());
        let latest = Latest::new((0, token.clone()));
        let guard = epoch::pin();
        let first = latest.get(&guard);
        for number in 1..100 {
            latest.set((number, token.clone()));
            assert_eq!(latest.get(&guard).0, number);
            super::super::hand_on();
        }
        assert_eq!((first.0, Arc::strong_count(&first.1)), (0, 101), "nothing is dropped yet");
        drop(guard);
        for _ in 0..1_000_000 {
            if Arc::strong_count(&token) == 2 {
                drop(latest);
                assert_eq!(Arc::strong_count(&token), 1);
                return;
            }
            super::super::hand_on();
            std::thread::yield_now();
        }
        panic!("{} values were never dropped", Arc::strong_count(&token) - 2);
    }
}
