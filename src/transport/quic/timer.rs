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

/// Woken by tokio; wakes the connection's task.
#[derive(Debug)]
struct Bell {
    /// The timer is to look at tokio's.
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl LazyTimer {
    /// A timer for `at`. Must be called within a tokio runtime.
    pub(super) fn new(at: Instant) -> Self {
        let bell = Bell { has_rung: AtomicBool::new(true), task: Mutex::default() };
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
        super::leave(context.waker(), &mut self.bell.task.lock());
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
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: it comes when it was last set to come, never before, and asks tokio anew only for earlier times.
    //! Method: tokio's clock, paused.

    use std::{future::poll_fn, time::Duration};

    use tokio::time::{Instant as Clock, advance};

    use super::*;

    fn at(milliseconds: u64) -> Instant {
        (Clock::now() + Duration::from_millis(milliseconds)).into_std()
    }

    async fn comes(timer: &mut LazyTimer) -> Instant {
        poll_fn(|context| timer.poll(context)).await;
        Clock::now().into_std()
    }

    #[tokio::test(start_paused = true)]
    async fn it_comes_when_it_was_last_set_to_come() {
        for times in [&[50][..], &[50, 80], &[50, 20], &[50, 80, 20, 60], &[1, 100, 99]] {
            let mut timer = LazyTimer::new(at(70));
            let begin = Clock::now().into_std();
            for &time in times {
                timer.reset(begin + Duration::from_millis(time));
                let pending =
                    poll_fn(|context| Poll::Ready(timer.poll(context).is_pending())).await;
                assert!(pending, "{times:?}");
            }
            let last = begin + Duration::from_millis(times[times.len() - 1]);
            assert_eq!(comes(&mut timer).await, last, "{times:?}");
            timer.reset(last + Duration::from_millis(5));
            assert_eq!(comes(&mut timer).await, last + Duration::from_millis(5), "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tokio_is_asked_for_earlier_times_only() {
        let mut timer = LazyTimer::new(at(50));
        let first = timer.asked;
        timer.reset(at(70));
        assert_eq!(timer.asked, first);
        timer.reset(at(30));
        assert_eq!(timer.asked, Some(at(30)));
        advance(Duration::from_millis(31)).await;
        timer.reset(at(100));
        assert!(poll_fn(|context| Poll::Ready(timer.poll(context).is_pending())).await);
        assert_eq!(timer.asked, Some(at(100)));
    }
}
