//! Numbered places, one writer, many readers that take no lock. Skeleton.

use crossbeam_epoch::Guard;

/// What an entry points at: a place in a [`Slab`], whose meaning the owner of the table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(pub u32);

/// The one writer of a slab.
#[derive(Debug)]
pub struct SlabWriter<T> {
    _t: std::marker::PhantomData<T>,
}
/// A reading handle: cheap to clone, `Send + Sync`.
#[derive(Debug)]
pub struct Slab<T> {
    _t: std::marker::PhantomData<T>,
}
impl<T> Clone for Slab<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}
impl<T: Send + Sync + 'static> SlabWriter<T> {
    /// An empty slab.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        todo!()
    }
    /// A handle that reads it.
    pub fn reader(&self) -> Slab<T> {
        todo!()
    }
    /// Gives `value` a place, its number never one that a reader may still hold for a value removed before.
    pub fn insert(&mut self, value: T) -> Target {
        let _ = value;
        todo!()
    }
    /// Empties a place. The value is dropped once no reader can see it any more, and only then is its number given out again.
    pub fn remove(&mut self, target: Target) -> bool {
        let _ = target;
        todo!()
    }
    /// The value at a place, for the writer.
    pub fn get(&self, target: Target) -> Option<&T> {
        let _ = target;
        todo!()
    }
}
impl<T: Send + Sync + 'static> Slab<T> {
    /// The value at `target`, for as long as `guard` is held. Hold one guard over the look-up in the FIB and this.
    pub fn get<'g>(&self, target: Target, guard: &'g Guard) -> Option<&'g T> {
        let _ = (target, guard);
        todo!()
    }
}
