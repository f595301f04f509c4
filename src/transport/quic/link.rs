//! One QUIC connection to one peer runtime: frames out of an outbox, frames in to a receiver.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Context, time::Duration};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use tokio::sync::oneshot;

use super::{
    CloseCode, Fingerprint,
    host::{Guest, Seat},
};
use crate::{
    limits::{CLOSE_REASON_BYTES_MAX, QUIC_DRAIN, WRITE_BATCH_BYTES_MAX, WRITE_BATCH_ITEMS_MAX},
    link::{Drained, Outbox, Outgoing},
    transport::{
        Ended, Flow,
        frame::{BatchEncoder, Frame, FrameDecoder, FrameError},
    },
};

/// Chunks taken out of the stream by one read.
const READ_CHUNKS: usize = 32;

/// Places for outgoing frames that an idle connection keeps.
const BATCH_KEPT: usize = 4;

/// What takes the frames of one connection, called by one task, in order.
///
/// **No call blocks or waits.**
pub trait LinkReceiver: Send + 'static {
    /// A message and its number (0: plain). It is taken in any case; the verdict is about the next.
    fn on_message(&mut self, number: u64, bytes: Bytes) -> Flow;
    /// A control object, as it came.
    fn on_control(&mut self, bytes: Bytes);
    /// Nothing more is at hand: the time for an acknowledgement of the whole batch.
    fn on_batch_end(&mut self) {}
}

/// A connection whose peer is known and wants us. Dropped without [`QuicLink::start`], it is closed.
#[derive(Debug)]
pub struct QuicLink {
    pub(super) connection: CloseOnDrop,
    pub(super) seat: Seat,
    pub(super) send: SendStream,
    pub(super) receive: RecvStream,
    pub(super) peer: Fingerprint,
    pub(super) payload_bytes_max: usize,
}

/// Closes and observes a connection that runs elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QuicHandle(Connection);

impl QuicHandle {
    /// Closes at once, telling the peer `reason`, cut at 120 bytes. What wasn't sent yet is not sent.
    /// Idempotent.
    pub fn close(&self, reason: &str) {
        self.0.close(CloseCode::Done.into(), cut(reason).as_bytes());
    }

    /// The peer's address at the moment; it changes when the peer's network does.
    pub fn remote_address(&self) -> SocketAddr {
        let address = self.0.remote_address();
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// UDP datagrams sent so far: what gathering spares.
    pub fn datagrams_sent(&self) -> u64 {
        self.0.stats().udp_tx.datagrams
    }

    /// The smoothed round trip.
    pub fn round_trip(&self) -> Duration {
        self.0.rtt()
    }
}

impl QuicLink {
    /// The key that the peer proved to hold.
    pub fn peer_fingerprint(&self) -> Fingerprint {
        self.peer
    }

    /// A handle that stays useful when [`QuicLink::start`] has taken the link.
    pub fn handle(&self) -> QuicHandle {
        QuicHandle(self.connection.0.clone())
    }

    /// Carries frames both ways, in the task of the connection itself, until it ends; then `tell` is told how, on
    /// that task. [`QuicHandle::close`] ends it from here.
    ///
    /// Writes gather what is ready, up to 64 frames or 256 KiB, and wait for no timer. When `outbox` is
    /// closed and empty, the connection is closed in order after the peer acknowledged all. `outbox` is left
    /// as it is when the connection ends first; up to one batch taken out of it may not have been sent.
    pub fn start<R: LinkReceiver>(
        self,
        outbox: Arc<Outbox<Outgoing>>,
        receiver: R,
        tell: impl FnOnce(Ended) + Send + 'static,
    ) {
        let QuicLink { connection, seat, send, mut receive, payload_bytes_max, .. } = self;
        let writer = write(connection.0.clone(), send, outbox);
        let decoder = FrameDecoder::new(payload_bytes_max);
        let reader = async move {
            // `receive` lives on when nothing more is read: dropping it would stop the peer.
            match read(&connection.0, &mut receive, decoder, receiver).await {
                ReadEnd::Finished => ended(connection.0.closed().await),
                ReadEnd::Lost(error) => ended(error),
                ReadEnd::Broken(reason) => {
                    connection.0.close(CloseCode::Protocol.into(), cut(&reason).as_bytes());
                    Ended::Protocol { reason }
                }
            }
        };
        seat.seat(Guest::new(reader, writer, tell));
    }

    /// As [`QuicLink::start`], for who wants to wait for the end; dropping the future closes the connection.
    pub async fn run<R: LinkReceiver>(self, outbox: Arc<Outbox<Outgoing>>, receiver: R) -> Ended {
        let _close = CloseOnDrop(self.connection.0.clone());
        let (tell, told) = oneshot::channel();
        // Who asked may have stopped waiting.
        self.start(outbox, receiver, move |ended| drop(tell.send(ended)));
        told.await.unwrap_or(Ended::ClosedHere)
    }
}

/// A connection that ends with its owner, whatever handles there are.
#[derive(Debug)]
pub(super) struct CloseOnDrop(pub(super) Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseCode::Done.into(), b"");
    }
}

enum ReadEnd {
    /// Nothing more is to be read: one side's outbox will end the connection.
    Finished,
    Lost(ConnectionError),
    Broken(String),
}

impl From<FrameError> for ReadEnd {
    fn from(error: FrameError) -> Self {
        ReadEnd::Broken(error.to_string())
    }
}

impl From<ReadError> for ReadEnd {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => ReadEnd::Lost(error),
            other => ReadEnd::Broken(other.to_string()),
        }
    }
}

async fn read<R: LinkReceiver>(
    connection: &Connection,
    stream: &mut RecvStream,
    mut decoder: FrameDecoder,
    mut receiver: R,
) -> ReadEnd {
    let mut chunks: [Bytes; READ_CHUNKS] = std::array::from_fn(|_| Bytes::new());
    loop {
        let count = match stream.read_chunks(&mut chunks).await {
            Ok(Some(count)) => count,
            Ok(None) if decoder.is_between_frames() => return ReadEnd::Finished,
            Ok(None) => return ReadEnd::Broken("stream ends within a frame".into()),
            Err(error) => return error.into(),
        };
        for chunk in &mut chunks[..count] {
            decoder.feed(std::mem::take(chunk));
            if let Err(end) = hand_over(connection, &mut decoder, &mut receiver).await {
                receiver.on_batch_end();
                return end;
            }
        }
        receiver.on_batch_end();
        decoder.rest();
        tokio::task::consume_budget().await;
    }
}

/// Hands the frames of one chunk to the receiver, waiting where it asks for that.
async fn hand_over<R: LinkReceiver>(
    connection: &Connection,
    decoder: &mut FrameDecoder,
    receiver: &mut R,
) -> Result<(), ReadEnd> {
    while let Some(frame) = decoder.next_frame()? {
        let flow = match frame {
            Frame::Message { number, bytes } => receiver.on_message(number, bytes),
            Frame::Control(bytes) => {
                if !bytes.is_empty() {
                    receiver.on_control(bytes);
                }
                Flow::Continue
            }
        };
        match flow {
            Flow::Continue => {}
            Flow::Pause(resume) => {
                receiver.on_batch_end();
                tokio::select! {
                    () = resume.notified() => {}
                    error = connection.closed() => return Err(ReadEnd::Lost(error)),
                }
            }
            Flow::Stop => return Err(ReadEnd::Finished),
        }
    }
    Ok(())
}

async fn write(connection: Connection, mut stream: SendStream, outbox: Arc<Outbox<Outgoing>>) {
    match write_all(&mut stream, &outbox).await {
        Ok(()) => {
            // An error means that the connection is gone already.
            let _ = stream.finish();
            let _ = tokio::time::timeout(QUIC_DRAIN, stream.stopped()).await;
            connection.close(CloseCode::Done.into(), b"done");
        }
        Err(WriteError::Stopped(_)) => {
            connection.close(CloseCode::Protocol.into(), b"stream stopped");
        }
        // The reader meets the same end and tells of it.
        Err(_) => {}
    }
}

/// Writes until the outbox is closed and empty.
async fn write_all(stream: &mut SendStream, outbox: &Outbox<Outgoing>) -> Result<(), WriteError> {
    let mut batch = Vec::new();
    let mut encoder = BatchEncoder::default();
    loop {
        if outbox.try_drain(&mut batch, WRITE_BATCH_ITEMS_MAX) == 0 {
            // An idle connection keeps no memory for a busy one.
            batch.shrink_to(BATCH_KEPT);
            let next = |context: &mut Context<'_>| {
                outbox.poll_drain(context, &mut batch, WRITE_BATCH_ITEMS_MAX)
            };
            if poll_fn(next).await == Drained::End {
                return Ok(());
            }
        }
        encoder.reserve(&batch);
        for item in batch.drain(..) {
            encoder.push(&item);
            if encoder.bytes() >= WRITE_BATCH_BYTES_MAX {
                stream.write_all_chunks(&mut encoder.take()).await?;
            }
        }
        stream.write_all_chunks(&mut encoder.take()).await?;
        tokio::task::consume_budget().await;
    }
}

fn ended(error: ConnectionError) -> Ended {
    match error {
        ConnectionError::LocallyClosed => Ended::ClosedHere,
        ConnectionError::TimedOut => Ended::TimedOut,
        ConnectionError::ApplicationClosed(close) => Ended::ClosedByPeer {
            code: close.error_code.into_inner(),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        ConnectionError::TransportError(error) => Ended::Protocol { reason: error.to_string() },
        other => Ended::Lost { reason: other.to_string() },
    }
}

/// `reason` within the bound of what is sent, cut between characters.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    //! Goal: a connection has its one stream and room for no other; a peer that sends what is no
    //! frame is cut and told why. Method: two endpoints on loopback, and what a peer that breaks
    //! the rules would ask of quinn.

    use std::{future::Future, pin::pin, task::Context};

    use super::*;
    use crate::transport::quic::{QuicConfig, QuicEndpoint};

    struct Nobody;

    impl LinkReceiver for Nobody {
        fn on_message(&mut self, number: u64, _: Bytes) -> Flow {
            panic!("{number} is taken for a message")
        }

        fn on_control(&mut self, control: Bytes) {
            panic!("{control:?} is taken for control")
        }
    }

    async fn pair() -> (QuicEndpoint, QuicEndpoint, QuicLink, QuicLink) {
        let end = || QuicEndpoint::bind(([127, 0, 0, 1], 0).into(), QuicConfig::default()).unwrap();
        let (alice, bob) = (end(), end());
        let _alice = bob.expect(alice.fingerprint());
        let candidates = [bob.local_addr().unwrap()];
        let (dialled, accepted) =
            tokio::join!(alice.dial(&candidates, bob.fingerprint()), bob.accept());
        (alice, bob, dialled.unwrap(), accepted.unwrap())
    }

    #[tokio::test]
    async fn what_is_no_frame_cuts() {
        let table: [(&[u8], &str); 4] = [
            (&[0xff; 16], "bytes, allowed are"),
            (&[2, 9, 9], "kind"),
            (&[0x7f, 0xff, 0, 0], "within a frame"),
            (&[0], ""),
        ];
        for (garbage, words) in table {
            let (_alice, _bob, mut dialled, accepted) = pair().await;
            dialled.send.write_all(garbage).await.unwrap();
            dialled.send.finish().unwrap();
            let outbox = Arc::new(Outbox::new(1, 1));
            match accepted.run(outbox, Nobody).await {
                Ended::Protocol { reason } => assert!(reason.contains(words), "{reason}"),
                other => panic!("{garbage:?}: {other}"),
            }
            let told = dialled.connection.0.closed().await;
            assert!(matches!(told, ConnectionError::ApplicationClosed(close)
                if close.error_code == CloseCode::Protocol.into()));
        }
    }

    #[tokio::test]
    async fn there_is_room_for_one_stream() {
        let (_alice, _bob, dialled, accepted) = pair().await;
        let mut context = Context::from_waker(std::task::Waker::noop());
        for link in [&dialled, &accepted] {
            let connection = &link.connection.0;
            assert!(pin!(connection.open_bi()).poll(&mut context).is_pending());
            assert!(pin!(connection.open_uni()).poll(&mut context).is_pending());
            assert_eq!(connection.max_datagram_size(), None);
        }
    }
}
