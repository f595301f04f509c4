//! What is carried by a connection that is up: frames out of an outbox, frames in to a receiver.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use quinn_proto::{Connection, ReadError, StreamId, WriteError};

use crate::{
    limits::{
        QUIC_BATCHES_A_TURN, QUIC_CHUNKS_A_TURN, WRITE_BATCH_BYTES_MAX, WRITE_BATCH_ITEMS_MAX,
    },
    link::{Drained, Outbox, Outgoing, Weigh},
    transport::{
        Ended, Flow,
        frame::{BatchEncoder, Chunks, Frame, FrameDecoder},
    },
};

/// Places that are kept for what is read or written next.
const PLACES_KEPT: usize = 4;

/// What takes the frames of one connection, called by one task, in order.
///
/// **No call blocks or waits.**
pub trait LinkReceiver: Send + 'static {
    /// A message and its number (0: plain). It is taken in any case; the verdict is about the next.
    fn on_message(&mut self, number: u64, bytes: Bytes) -> Flow;
    /// A control object, as it came.
    fn on_control(&mut self, bytes: Bytes);
    /// Nothing more is at hand, or others have their turn first: the time for an acknowledgement of the batch.
    fn on_batch_end(&mut self) {}
    /// Nothing has been carried for a while: what is not in use may be given back.
    fn on_rest(&mut self) {}
}

/// Is told how a connection ended.
pub(super) type Tell = Box<dyn FnOnce(Ended) + Send>;

/// Who reads and writes a connection's stream, until it ends. Whatever happens, the end is told once.
pub(super) struct Carrier {
    outbox: Arc<Outbox<Outgoing>>,
    receiver: Box<dyn LinkReceiver>,
    tell: Option<Tell>,
    decoder: FrameDecoder,
    /// Read, but not looked at yet, for the receiver has paused.
    ahead: VecDeque<Bytes>,
    /// Resolves when the receiver wants to go on.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_reading: bool,
    /// The receiver wants nothing more ever.
    is_stopped: bool,
    /// The receiver is to be told that the batch is at its end.
    has_handed_over: bool,
    /// How the stream ended, until all that came before has been handed over.
    end: Option<Option<ReadError>>,
    batch: Vec<Outgoing>,
    encoder: BatchEncoder,
    /// Encoded, and written up to `written`.
    chunks: Chunks,
    written: usize,
    is_writing: bool,
    /// Something was read or written since the last rest.
    has_carried: bool,
}

/// How far a turn of reading or writing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It waits for somebody.
    Waits,
    /// It can go on, and lets others go first.
    More,
    /// The outbox is closed and empty: the stream has been finished.
    Finished,
    /// The peer wants nothing more.
    Stopped,
}

impl Carrier {
    pub(super) fn new(
        outbox: Arc<Outbox<Outgoing>>,
        receiver: Box<dyn LinkReceiver>,
        payload_bytes_max: usize,
        tell: Tell,
    ) -> Self {
        Carrier {
            outbox,
            receiver,
            tell: Some(tell),
            decoder: FrameDecoder::new(payload_bytes_max),
            ahead: VecDeque::new(),
            pause: None,
            is_reading: true,
            is_stopped: false,
            has_handed_over: false,
            end: None,
            batch: Vec::new(),
            encoder: BatchEncoder::default(),
            chunks: Chunks::new(),
            written: 0,
            is_writing: true,
            has_carried: true,
        }
    }

    /// True while the receiver wants nothing more for now.
    pub(super) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Tells how it ended.
    pub(super) fn end(mut self: Box<Self>, ended: Ended) {
        if let Some(tell) = self.tell.take() {
            tell(ended);
        }
    }

    /// Hands over what has come by `stream`.
    ///
    /// # Errors
    /// What the peer has done that is against the protocol.
    pub(super) fn read(
        &mut self,
        machine: &mut Connection,
        stream: StreamId,
        context: &mut Context<'_>,
    ) -> Result<Turn, String> {
        let was_paused = self.is_paused();
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Ok(Turn::Waits);
            }
            self.pause = None;
        }
        // After a pause there may be more of what was read before.
        let outcome = if was_paused { self.hand_over_ahead(context) } else { Ok(true) };
        let (has_more, outcome) = match outcome {
            Ok(true) => {
                let has_more = self.read_chunks(machine, stream);
                (has_more, self.hand_over_ahead(context))
            }
            other => (false, other),
        };
        let outcome = outcome.and_then(|is_wanted| match is_wanted {
            true if has_more => Ok(Turn::More),
            true => self.check_end().map(|()| Turn::Waits),
            false => Ok(Turn::Waits),
        });
        if std::mem::take(&mut self.has_handed_over) {
            self.has_carried = true;
            self.receiver.on_batch_end();
        }
        outcome
    }

    /// True if everything read was handed over, and more is wanted.
    fn hand_over_ahead(&mut self, context: &mut Context<'_>) -> Result<bool, String> {
        if self.is_stopped {
            return Ok(false);
        }
        loop {
            match self.hand_over() {
                Ok(Flow::Continue) => {}
                Ok(Flow::Pause(resume)) => {
                    let mut pause = Box::pin(async move { resume.notified().await });
                    if pause.as_mut().poll(context).is_pending() {
                        self.pause = Some(pause);
                        return Ok(false);
                    }
                    continue;
                }
                Ok(Flow::Stop) => {
                    self.is_reading = false;
                    self.is_stopped = true;
                    self.ahead.clear();
                    return Ok(false);
                }
                Err(fault) => return Err(fault),
            }
            match self.ahead.pop_front() {
                Some(chunk) => self.decoder.feed(chunk),
                None => return Ok(true),
            }
        }
    }

    /// Hands over the frames of the chunk at hand; `Continue` when it is used up.
    fn hand_over(&mut self) -> Result<Flow, String> {
        while let Some(frame) = self.decoder.next_frame().map_err(|error| error.to_string())? {
            self.has_handed_over = true;
            let flow = match frame {
                Frame::Message { number, bytes } => self.receiver.on_message(number, bytes),
                Frame::Control(bytes) => {
                    if !bytes.is_empty() {
                        self.receiver.on_control(bytes);
                    }
                    Flow::Continue
                }
            };
            if !matches!(flow, Flow::Continue) {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue)
    }

    /// All that came has been handed over: was the stream's end, if it has come to that, a proper one?
    fn check_end(&mut self) -> Result<(), String> {
        match self.end.take() {
            Some(Some(error)) => Err(format!("stream {error}")),
            Some(None) if !self.decoder.is_between_frames() => {
                Err("stream ends within a frame".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Takes what has come out of `stream`, into `ahead`, which is empty; true if there may be more.
    fn read_chunks(&mut self, machine: &mut Connection, stream: StreamId) -> bool {
        if !self.is_reading {
            return false;
        }
        let mut receive = machine.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else {
            // It was at its end.
            self.is_reading = false;
            return false;
        };
        let has_more = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.ahead.push_back(chunk.bytes),
                Err(ReadError::Blocked) => break false,
                end => {
                    self.is_reading = false;
                    self.end = Some(end.err());
                    break false;
                }
            }
            if self.ahead.len() == QUIC_CHUNKS_A_TURN {
                break true;
            }
        };
        // Whether there is something to send is found out after each turn.
        let _ = chunks.finalize();
        has_more
    }

    /// Writes what the outbox holds, or leaves the task's waker there. Writes gather what is ready, and wait
    /// for no timer.
    pub(super) fn write(
        &mut self,
        machine: &mut Connection,
        stream: StreamId,
        context: &mut Context<'_>,
    ) -> Turn {
        for _ in 0..QUIC_BATCHES_A_TURN {
            while self.written < self.chunks.len() {
                let left = &mut self.chunks[self.written..];
                match machine.send_stream(stream).write_chunks(left) {
                    Ok(written) => self.written += written.chunks,
                    Err(WriteError::Stopped(_)) => return Turn::Stopped,
                    Err(WriteError::Blocked | WriteError::ClosedStream) => return Turn::Waits,
                }
            }
            self.chunks.clear();
            self.written = 0;
            if !self.is_writing {
                return Turn::Waits;
            }
            if self.batch.is_empty() && !self.fill(context) {
                if self.is_writing {
                    return Turn::Waits;
                }
                // An error means that the connection is gone already.
                let _ = machine.send_stream(stream).finish();
                return Turn::Finished;
            }
            self.encode();
        }
        Turn::More
    }

    /// Takes the next items out of the outbox; false if there are none.
    fn fill(&mut self, context: &mut Context<'_>) -> bool {
        match self.outbox.poll_drain(context, &mut self.batch, WRITE_BATCH_ITEMS_MAX) {
            Poll::Ready(Drained::Items(_)) => {
                self.has_carried = true;
                true
            }
            Poll::Ready(Drained::End) => {
                self.is_writing = false;
                false
            }
            Poll::Pending => false,
        }
    }

    /// Encodes what is at hand, as far as one write goes.
    fn encode(&mut self) {
        let mut bytes = 0;
        let fits = |item: &&Outgoing| {
            let fits = bytes < WRITE_BATCH_BYTES_MAX;
            bytes += item.weight_bytes();
            fits
        };
        let count = self.batch.iter().take_while(fits).count();
        self.encoder.reserve(&self.batch[..count]);
        for item in self.batch.drain(..count) {
            self.encoder.push(&item);
        }
        self.chunks = self.encoder.take();
    }

    /// Keeps no memory that a quiet connection does not need, if nothing was carried since this was last
    /// called; true then.
    pub(super) fn rest(&mut self) -> bool {
        if std::mem::take(&mut self.has_carried) {
            return false;
        }
        self.outbox.rest();
        if !self.is_stopped {
            self.receiver.on_rest();
        }
        self.decoder.rest();
        self.batch.shrink_to(PLACES_KEPT);
        self.ahead.shrink_to(PLACES_KEPT);
        true
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(Ended::Lost { reason: "its task has gone".to_owned() });
        }
    }
}
