//! One task for each connection: quinn's driver, the link's reader and its writer.
//!
//! quinn gives each connection a task of its own, the driver, and whoever reads and writes has others; a message
//! then passes through two more turns of the scheduler at each end. Here the driver is *hosted*: the three
//! parts share a task, and a turn of it goes round among those that were called until none is.
//!
//! ```text
//!   post ──► outbox ──► writer ──► driver ──► sendmsg        one turn
//!   recvmmsg ──► quinn's endpoint task ──► driver ──► reader ──► listener's queue
//! ```
//!
//! Each part has a waker of its own, so that one that was not called costs nothing.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use parking_lot::Mutex;
use quinn::{AsyncTimer, AsyncUdpSocket, TokioRuntime};

use super::timer::LazyTimer;
use crate::{limits::QUIC_ROUNDS_A_TURN, transport::Ended};

/// A task's future, whatever it is.
pub(super) type Part<T> = Pin<Box<dyn Future<Output = T> + Send>>;

const DRIVER: u8 = 1;
const READER: u8 = 1 << 1;
const WRITER: u8 = 1 << 2;
const ALL: u8 = DRIVER | READER | WRITER;
/// The task is at it and looks again before it rests: nobody needs to wake it.
const TURNING: u8 = 1 << 3;

thread_local! {
    /// Where a driver goes that quinn wants to run, while [`hosted`] calls it.
    static CAUGHT: RefCell<Option<Option<Part<()>>>> = const { RefCell::new(None) };
}

/// tokio as quinn's runtime, but that the drivers of connections made within [`hosted`] are not run by it.
#[derive(Debug)]
pub(super) struct HostRuntime;

impl quinn::Runtime for HostRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(LazyTimer::new(at))
    }

    fn spawn(&self, future: Part<()>) {
        let left = CAUGHT.with_borrow_mut(|caught| match caught {
            Some(place) if place.is_none() => {
                *place = Some(future);
                None
            }
            _ => Some(future),
        });
        if let Some(future) = left {
            TokioRuntime.spawn(future);
        }
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// Runs `connect`, by which quinn makes one connection, and hosts that connection's driver in a task that has
/// a [`Seat`] for its reader and writer.
pub(super) fn hosted<T>(connect: impl FnOnce() -> T) -> (T, Seat) {
    CAUGHT.set(Some(None));
    let made = connect();
    let driver = CAUGHT.take().flatten();
    let seat = Seat::default();
    if let Some(driver) = driver {
        tokio::spawn(Host::new(seat.clone(), Some(driver), None));
    } else {
        seat.0.waiting.lock().is_taken = true;
    }
    (made, seat)
}

/// The place in a host's task for who reads and writes its connection.
#[derive(Clone, Default)]
pub(super) struct Seat(Arc<Shared>);

#[derive(Default)]
struct Shared {
    bell: Arc<Bell>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    guest: Option<Guest>,
    /// The host has its guest, or is gone.
    is_taken: bool,
}

impl Seat {
    /// Runs `guest` in the host's task; in one of its own if the connection has ended already.
    pub(super) fn seat(&self, guest: Guest) {
        let mut waiting = self.0.waiting.lock();
        if waiting.is_taken {
            drop(waiting);
            tokio::spawn(Host::new(Seat::default(), None, Some(guest)));
        } else {
            waiting.guest = Some(guest);
            drop(waiting);
            self.0.bell.call(READER | WRITER);
        }
    }
}

/// Who reads and writes one connection, until the reader has ended.
pub(super) struct Guest {
    reader: Part<Ended>,
    writer: Option<Part<()>>,
    /// Is told how it ended, in any case.
    tell: Option<Box<dyn FnOnce(Ended) + Send>>,
}

impl Guest {
    pub(super) fn new(
        reader: impl Future<Output = Ended> + Send + 'static,
        writer: impl Future<Output = ()> + Send + 'static,
        tell: impl FnOnce(Ended) + Send + 'static,
    ) -> Self {
        let writer: Part<()> = Box::pin(writer);
        Guest { reader: Box::pin(reader), writer: Some(writer), tell: Some(Box::new(tell)) }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(Ended::Lost { reason: "its task has gone".to_owned() });
        }
    }
}

/// The task.
struct Host {
    seat: Seat,
    driver: Option<Part<()>>,
    guest: Option<Guest>,
    wakers: [Waker; 3],
}

impl Host {
    fn new(seat: Seat, driver: Option<Part<()>>, guest: Option<Guest>) -> Self {
        let waker = |part| Waker::from(Arc::new(Caller { bell: seat.0.bell.clone(), part }));
        let wakers = [DRIVER, READER, WRITER].map(waker);
        Host { seat, driver, guest, wakers }
    }

    /// Goes once round those that were called.
    fn go_round(&mut self) {
        let bell = &self.seat.0.bell;
        let [driver, reader, writer] = self.wakers.each_ref().map(Context::from_waker);
        let (mut driving, mut reading, mut writing) = (driver, reader, writer);
        if bell.answer(DRIVER)
            && let Some(part) = &mut self.driver
            && part.as_mut().poll(&mut driving).is_ready()
        {
            self.driver = None;
        }
        if bell.answer(READER) {
            if self.guest.is_none() {
                self.guest = self.seat.take();
            }
            if let Some(guest) = &mut self.guest
                && let Poll::Ready(ended) = guest.reader.as_mut().poll(&mut reading)
            {
                guest.writer = None;
                if let Some(tell) = guest.tell.take() {
                    tell(ended);
                }
                self.guest = None;
            }
        }
        if bell.answer(WRITER)
            && let Some(guest) = &mut self.guest
            && let Some(part) = &mut guest.writer
            && part.as_mut().poll(&mut writing).is_ready()
        {
            guest.writer = None;
        }
    }

    /// True if nobody is left, nor will come.
    fn is_over(&mut self) -> bool {
        if self.driver.is_some() || self.guest.is_some() {
            return false;
        }
        let mut waiting = self.seat.0.waiting.lock();
        waiting.is_taken |= waiting.guest.is_none();
        waiting.guest.is_none()
    }
}

impl Future for Host {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.seat.0.bell.attend(context.waker());
        for _ in 0..QUIC_ROUNDS_A_TURN {
            self.go_round();
            if self.is_over() {
                return Poll::Ready(());
            }
            if self.seat.0.bell.rest() {
                return Poll::Pending;
            }
        }
        self.seat.0.bell.pause();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut waiting = self.seat.0.waiting.lock();
        waiting.is_taken = true;
        let late = waiting.guest.take();
        drop(waiting);
        drop(late);
    }
}

impl Seat {
    fn take(&self) -> Option<Guest> {
        let mut waiting = self.0.waiting.lock();
        waiting.is_taken |= waiting.guest.is_some();
        waiting.guest.take()
    }
}

/// Which parts of a task were called, and how it is woken. It is 0 only while the task rests: whoever finds that
/// wakes it.
struct Bell {
    called: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Default for Bell {
    /// All are called to begin with.
    fn default() -> Self {
        Bell { called: AtomicU8::new(ALL), task: Mutex::default() }
    }
}

impl Bell {
    /// Calls `parts`.
    fn call(&self, parts: u8) {
        if self.called.fetch_or(parts, Ordering::AcqRel) == 0
            && let Some(task) = &*self.task.lock()
        {
            task.wake_by_ref();
        }
    }

    /// A turn begins.
    fn attend(&self, waker: &Waker) {
        let mut task = self.task.lock();
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
        drop(task);
        self.called.fetch_or(TURNING, Ordering::AcqRel);
    }

    /// True if `part` was called, which it is no more.
    fn answer(&self, part: u8) -> bool {
        self.called.load(Ordering::Relaxed) & part != 0
            && self.called.fetch_and(!part, Ordering::AcqRel) & part != 0
    }

    /// Ends the turn if nobody is called; true then.
    fn rest(&self) -> bool {
        self.called.compare_exchange(TURNING, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Ends the turn with somebody called still; the caller wakes the task.
    fn pause(&self) {
        self.called.fetch_and(!TURNING, Ordering::AcqRel);
    }
}

/// The waker of one part.
struct Caller {
    bell: Arc<Bell>,
    part: u8,
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.call(self.part);
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}
