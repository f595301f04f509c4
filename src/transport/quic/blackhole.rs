//! A switch that makes an endpoint's network swallow everything, so that a dead network can be shown on a
//! living one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The switch of an endpoint's socket: on, every datagram is lost, both ways, and nobody is told.
///
/// Off, it costs one relaxed load a system call.
#[derive(Clone, Debug, Default)]
pub struct Blackhole(Arc<AtomicBool>);

impl Blackhole {
    /// Begins or ends to swallow.
    pub fn set(&self, swallow: bool) {
        self.0.store(swallow, Ordering::Relaxed);
    }

    /// True while datagrams are swallowed.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
