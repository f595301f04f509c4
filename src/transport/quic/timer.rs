//! A connection's timer, which is set anew with each packet and nearly always to a later time.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::time::{Sleep, sleep_until};

/// Asks tokio only for earlier times: a later one is asked for when the earlier one has come, and until then
/// setting and polling it is a comparison each.
#[derive(Debug)]
pub(super) struct LazyTimer {
    sleep: Pin<Box<Sleep>>,
    /// What tokio was asked for; `None` once it has come.
    asked: Option<Instant>,
    wanted: Instant,
    bell: Arc<Bell>,
}

/// Woken by tokio; wakes the driver.
#[derive(Debug)]
struct Bell {
    /// The timer is to look at tokio's.
    has_rung: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

impl LazyTimer {
    /// A timer for `at`. Must be called within a tokio runtime.
    pub(super) fn new(at: Instant) -> Self {
        let bell = Bell { has_rung: AtomicBool::new(true), driver: Mutex::default() };
        let sleep = Box::pin(sleep_until(at.into()));
        LazyTimer { sleep, asked: Some(at), wanted: at, bell: Arc::new(bell) }
    }

    /// Sets it to another time.
    pub(super) fn reset(&mut self, at: Instant) {
        self.wanted = at;
        if self.asked.is_none_or(|asked| at < asked) {
            self.ask(at);
        }
    }

    /// Ready once, when the time has come; else leaves the waker.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        {
            let mut driver = self.bell.driver.lock();
            if !driver.as_ref().is_some_and(|driver| driver.will_wake(context.waker())) {
                *driver = Some(context.waker().clone());
            }
        }
        if !self.bell.has_rung.swap(false, Ordering::AcqRel) || !self.is_due() {
            return Poll::Pending;
        }
        if self.asked.is_some_and(|asked| asked < self.wanted) {
            self.ask(self.wanted);
            self.bell.has_rung.store(false, Ordering::Release);
            if !self.is_due() {
                return Poll::Pending;
            }
        }
        self.asked = None;
        Poll::Ready(())
    }

    fn ask(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at.into());
        self.asked = Some(at);
        self.bell.has_rung.store(true, Ordering::Release);
    }

    /// Looks at tokio's timer. Where that wants to be looked at again although it has not come, it rings.
    fn is_due(&mut self) -> bool {
        let waker = Waker::from(self.bell.clone());
        Future::poll(self.sleep.as_mut(), &mut Context::from_waker(&waker)).is_ready()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        if let Some(driver) = &*self.driver.lock() {
            driver.wake_by_ref();
        }
    }
}
