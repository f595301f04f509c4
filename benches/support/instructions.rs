//! Instructions of the calling thread, where the kernel and the processor let themselves be asked: on Linux
//! with hardware counters, which many virtual machines don't have.

/// Counts what this thread retires in user space.
pub(crate) struct Instructions {
    #[cfg(target_os = "linux")]
    counter: perf_event::Counter,
}

impl Instructions {
    /// A counter that has begun, or none if there are no counters to be had.
    #[cfg(target_os = "linux")]
    pub(crate) fn begin() -> Option<Instructions> {
        use perf_event::{Builder, events::Hardware};
        let mut counter = Builder::new(Hardware::INSTRUCTIONS).build().ok()?;
        counter.enable().ok()?;
        Some(Instructions { counter })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn begin() -> Option<Instructions> {
        None
    }

    /// How many since it began.
    #[cfg(target_os = "linux")]
    pub(crate) fn end(mut self) -> Option<u64> {
        self.counter.disable().ok()?;
        self.counter.read().ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn end(self) -> Option<u64> {
        None
    }
}
