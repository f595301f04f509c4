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
use quinn::AsyncTimer;
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

impl AsyncTimer for LazyTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.wanted = at;
        if self.asked.is_none_or(|asked| at < asked) {
            self.ask(at);
        }
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        {
            let mut driver = this.bell.driver.lock();
            if !driver.as_ref().is_some_and(|driver| driver.will_wake(context.waker())) {
                *driver = Some(context.waker().clone());
            }
        }
        if !this.bell.has_rung.swap(false, Ordering::AcqRel) || !this.is_due() {
            return Poll::Pending;
        }
        if this.asked.is_some_and(|asked| asked < this.wanted) {
            this.ask(this.wanted);
            this.bell.has_rung.store(false, Ordering::Release);
            if !this.is_due() {
                return Poll::Pending;
            }
        }
        this.asked = None;
        Poll::Ready(())
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
