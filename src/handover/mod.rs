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
//!   what is given to itself by the incarnation it knows, and answers anything else with `hello`. `round`
//!   grows with each stream given, so an offer that arrives late is recognised. One direction has one stream
//!   at a time.
//! * **One order.** A number is given in the critical section that enqueues. Within a stream the receiver
//!   delivers by number, whatever path each came by; so each (from, to) is in order.
//! * **At most once.** What lies at or below the mark of what was taken, or is held already, is dropped and
//!   counted. Stream ids are never used again; a number of an unknown stream is dropped and answered
//!   `unknown`, after which the sender ends that stream and is plain until a new one is given.
//! * **Window.** The unacknowledged bytes of a sender never exceed what the receiver stated, which is its
//!   hold-back bound; [`Peer::send`] refuses beyond.
//! * **Acknowledgement.** `ack {number, base}` says that the listener took everything up to `number`, but for
//!   what a fence met, which lies below `base`. Cumulative; after every 256 messages, an eighth of the
//!   window, or 25 ms; what arrives together is looked at together. After 16 one goes along, behind a message
//!   that takes the direct way, if its sink has room. A listener that is full stops the draining, not the
//!   receiving.
//! * **Gap.** A receiver that misses a number below one it has seen, or below a marker's `upto`, for 200 ms
//!   says `have {number, next, gaps}` on every path, repeatedly; the sender resends what lies between and in
//!   `gaps`, so that many gaps cost one round trip, by the direct way, and every other time that the same is
//!   asked again by the MN. Asked the same again it waits, twice as long each time and at most 2 s, unless
//!   there is a way since that was not there before. Asked about a stream that is over, it answers `ended`,
//!   and the receiver forgets it and gives a new one.
//! * **Probe.** A sender without progress for 1 s sends `marker {upto}` on every path, each second: the
//!   receiver acknowledges, or finds its gap. So nothing is resent only because a path is slow, and a path
//!   that comes back is used within a second.
//! * **Fall back.** When the direct way closes, the cursor returns to the first unacknowledged number and all
//!   is sent again by the stubs, in order, at once.
//! * **Barrier.** Messages of a stub that carried plain ones are numbered at once but stay on that stub until
//!   a number that was accepted, and first sent through it, after the last plain message is acknowledged, or
//!   a `marker {mark}` sent through it is answered `marked`. It lapses for what it has held for 8 s, since a
//!   dead MN must not cost what the direct way can carry, and altogether when the last plain message is as old
//!   as well.
//! * **Dwell.** Traffic moves at once to a first direct way, and after the dwell to one that came back.
//! * **Announcement.** A P2P frame carries a number only; `stream {stream}` stands before the first number of
//!   each stream on each direct way ([`Announced`] reads it). By MN the number travels as `hop`.
//! * **Fence.** A message not acknowledged 9 s after its acceptance is given up. If it never left it is
//!   *returned* 503 at once. Else `base {from, number}` tells the receiver on every path, repeatedly, to
//!   deliver nothing below `number`, and asks what became of it from `from` on; `fenced {from, number, lost}`
//!   answers: the listener took all of it but what lies in `lost`, which it will never get. What is lost is
//!   *returned* 503, the rest *delivered*; what was not spoken of 10 s after its acceptance is *in doubt*
//!   504. Until then it counts in the window. An `ack` tells of it too if it lies at its `base` or above:
//!   below, what was taken cannot be told from what was fenced. The receiver remembers what it fenced until
//!   `from` has passed it. If the receiver was silent for 30 s the stream ends, and all that it holds with
//!   it.
//! * **Incarnation.** A word of `hello` or `handover` counts if it names us as `known` and comes from the
//!   incarnation that we know, or the first one. Anybody else is answered `hello {incarnation, known,
//!   challenge}`, and believed when the challenge comes back as `answer`: so what a dead one left under way
//!   changes nothing. A connection whose key was signalled together with an incarnation proves it as well. A
//!   new incarnation that is believed ends both directions; nothing is resent to it.
//! * **One outcome.** Each accepted numbered message is counted delivered, or is exactly one [`Outcome`].
//! * **Control is always read**, whatever is held back.
//!
//! # Locks
//!
//! A [`Peer`] has one small lock for what leaves and one for what arrives; they are never held together.
//! Sinks are pushed to under the first and `deliver` runs under the second, so both must be queues: a sink
//! that calls its own peer's [`Peer::send`], or a listener that calls its own peer's [`Peer::receive`], never
//! returns. A listener may call [`Peer::send`], which never waits for the second.

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
pub use outcome::{Counters, Event, Outcome, RunTaken, SendError, Sent, SentRun};
pub use peer::Peer;
