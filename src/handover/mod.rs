//! Moving between paths: numbers, acknowledgements and markers that keep messages once and in order while
//! they change between the Message Node (MN) path and a direct (P2P) one.
//!
//! No socket, clock or task is here: `now` is an argument, sinks are queues, and what has to happen later
//! is said by [`Peer::poll_timeout`]. It does not decide when a connection is live; the Registry does.
//!
//! # The laws
//!
//! A *stream* is one direction between two incarnations; its receiver draws its id, its sender numbers.
//!
//! * **Offer.** A receiver gives a stream by `handover {stream, window, incarnation, known, round}`, repeated
//!   until a number or a marker of it comes. `known` is the incarnation it is given to; a sender takes only
//!   what is given to itself by the incarnation it knows, and answers anything else with `hello`. `round` grows with
//!   each stream given, so an offer that arrives late is recognised. One direction has one stream at a time.
//! * **One order.** A number is given in the critical section that enqueues. Within a stream the receiver
//!   delivers by number, whatever path each came by; so each (from, to) is in order.
//! * **At most once.** What lies at or below the mark of what was taken, or is held already, is dropped and
//!   counted. Stream ids are never used again; a number of an unknown stream is dropped and answered
//!   `unknown`, after which the sender ends that stream and is plain until a new one is given.
//! * **Window.** The unacknowledged bytes of a sender never exceed what the receiver stated, which is its
//!   hold-back bound; [`Peer::send`] refuses beyond.
//! * **Acknowledgement.** `ack {number}` says that the listener took everything up to it. Cumulative; after
//!   every 256 messages, an eighth of the window, or 5 ms. A listener that is full stops the draining, not the receiving.
//! * **Gap.** A receiver that misses a number below one it has seen, or below a marker's `upto`, for 200 ms says
//!   `have {number, next}` on every path, repeatedly; the sender resends what lies between, by the direct
//!   way, and every other time that the same is asked again by the MN. Asked about a stream that is over, it
//!   answers `ended`, and the receiver forgets it and gives a new one.
//! * **Probe.** A sender without progress for 1 s sends `marker {upto}`: the receiver acknowledges, or finds
//!   its gap. So nothing is resent only because a path is slow.
//! * **Fall back.** When the direct way closes, the cursor returns to the first unacknowledged number and all is
//!   sent again by the stubs, in order, at once.
//! * **Barrier.** Messages of a stub that carried plain ones are numbered at once but stay on that stub until a
//!   number first sent through it after the last plain message is acknowledged, or a `marker {mark}` sent
//!   through it is answered `marked`. A barrier that holds messages for 8 s lapses: a dead MN must not
//!   cost what the direct way can carry.
//! * **Dwell.** Traffic moves at once to a first direct way, and after the dwell to one that came back.
//! * **Announcement.** A P2P frame carries a number only; `stream {stream}` stands before the first number of each
//!   stream on each direct way ([`Announced`] reads it). By MN the number travels as `hop`.
//! * **Fence.** A message not acknowledged within 10 s of its acceptance ends: *returned* 503 if it never left, else
//!   *in doubt* 504. `base {number}` then tells the receiver to deliver nothing below. If the receiver
//!   was silent for 30 s the stream ends, and all that it holds with it.
//! * **Incarnation.** A word of `hello` or `handover` counts if it names us as `known` and comes from the incarnation that
//!   we know, or the first one. Anybody else is answered `hello {incarnation, known, challenge}`, and
//!   believed when the challenge comes back as `answer`: so what a dead one left under way changes nothing.
//!   A new incarnation that is believed ends both directions; nothing is resent to it.
//! * **One outcome.** Each accepted numbered message is counted delivered, or is exactly one [`Outcome`].
//! * **Control is always read**, whatever is held back.
//!
//! # Locks
//!
//! A [`Peer`] has one small lock for what leaves and one for what arrives; they are never held together.
//! Sinks are pushed to under the first and `deliver` runs under the second, so both must be queues: a sink that
//! calls its own peer's [`Peer::send`], or a listener that calls its own peer's [`Peer::receive`], never
//! returns. A listener may call [`Peer::send`].

mod announced;
mod barrier;
mod config;
mod control;
mod explain;
mod outcome;
mod peer;
mod receiver;
mod sender;
mod stream;
mod timer;
mod ways;
mod window;

pub use announced::Announced;
#[doc(hidden)]
pub use config::Mutation;
pub use config::{Config, Random};
pub use control::ControlError;
pub use explain::{Explained, Reason};
pub use outcome::{Counters, Event, Outcome, SendError, Sent};
pub use peer::Peer;
