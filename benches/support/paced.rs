//! A writer on a thread of its own that edits at a steady rate while it is told to, and sleeps otherwise.

use std::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hyperty_router::slab::Target;

use crate::{
    churn_tables::{Edit, Writer},
    workload::Texts,
};

/// Edits a second. Systems in the field have broken down at a tenth of it.
pub(crate) const EDITS_PER_SECOND: usize = 100_000;
/// Edits between two sleeps: a millisecond's.
const BURST: usize = EDITS_PER_SECOND / 1_000;
const BURST_EVERY: Duration = Duration::from_millis(1);
/// A writer that was kept from running catches up with this much and lets the rest go.
const CATCH_UP_MAX: Duration = Duration::from_millis(20);

/// The edits: of a ring of names one is put in and the one that was put in longest ago is taken out, in
/// turns.
pub(crate) struct Stream<'a> {
    edits: Vec<Edit<'a>>,
    next: usize,
}

impl<'a> Stream<'a> {
    /// A stream over `texts`, half of which are in the table at any time; puts these in.
    pub(crate) fn start(texts: &'a Texts, first_target: u32, writer: &mut impl Writer) -> Self {
        let ring = texts.addresses();
        let edit = |number: usize, is_insert| {
            let number = number % ring.len();
            Edit { prefix: ring[number], target: Target(first_target + number as u32), is_insert }
        };
        let half = ring.len() / 2;
        writer.edit(&(0..half).map(|number| edit(number, true)).collect::<Vec<_>>());
        let pair = |number| [edit(number + half, true), edit(number, false)];
        Stream { edits: (0..ring.len()).flat_map(pair).collect(), next: 0 }
    }

    /// The next burst; the bursts of one round through the ring are of one size but for the last.
    pub(crate) fn burst(&mut self) -> &[Edit<'a>] {
        let start = self.next;
        let end = self.edits.len().min(start + BURST);
        self.next = end % self.edits.len();
        &self.edits[start..end]
    }
}

/// The switch of a paced writer, and what it did.
#[derive(Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    changed: Condvar,
    edits: AtomicUsize,
    churned_ns: AtomicUsize,
    /// The most that was given up and not freed after any burst.
    retired_bytes_max: AtomicUsize,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Quiet,
    /// Told to be quiet, and in a burst still.
    Stopping,
    Churn,
    Over,
}

impl Pace {
    /// Edits until told otherwise; the body of the writer's thread.
    pub(crate) fn run(&self, writer: &mut impl Writer, stream: &mut Stream<'_>) {
        while self.wait_for_churn() {
            let (start, mut due) = (Instant::now(), Instant::now());
            while *self.state.lock().expect("no panic") == State::Churn {
                let burst = stream.burst();
                writer.edit(burst);
                self.edits.fetch_add(burst.len(), Relaxed);
                self.retired_bytes_max.fetch_max(writer.retired_bytes(), Relaxed);
                due += BURST_EVERY;
                let now = Instant::now();
                due = due.max(now.checked_sub(CATCH_UP_MAX).unwrap_or(now));
                thread::sleep(due.saturating_duration_since(now));
            }
            self.churned_ns.fetch_add(start.elapsed().as_nanos() as usize, Relaxed);
            let mut state = self.state.lock().expect("no panic");
            if *state == State::Stopping {
                *state = State::Quiet;
            }
            self.changed.notify_all();
        }
    }

    /// Runs `work` while the writer edits; when it returns, the writer is quiet.
    pub(crate) fn during_churn<T>(&self, work: impl FnOnce() -> T) -> T {
        self.set(State::Churn);
        let done = work();
        self.set(State::Stopping);
        let state = self.state.lock().expect("no panic");
        drop(self.changed.wait_while(state, |state| *state == State::Stopping).expect("no panic"));
        done
    }

    /// Ends the thread that runs it.
    pub(crate) fn end(&self) {
        self.set(State::Over);
    }

    pub(crate) fn edits_per_second(&self) -> f64 {
        self.edits.load(Relaxed) as f64 / self.churned_ns.load(Relaxed) as f64 * 1e9
    }

    pub(crate) fn retired_bytes_max(&self) -> usize {
        self.retired_bytes_max.load(Relaxed)
    }

    fn set(&self, state: State) {
        *self.state.lock().expect("no panic") = state;
        self.changed.notify_all();
    }

    /// False when it is over.
    fn wait_for_churn(&self) -> bool {
        let state = self.state.lock().expect("no panic");
        let quiet = |state: &mut State| *state == State::Quiet;
        *self.changed.wait_while(state, quiet).expect("no panic") != State::Over
    }
}
