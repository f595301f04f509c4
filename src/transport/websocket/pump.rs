//! Moves frames between one WebSocket, a source and a receiver, within one task: no lock is shared between
//! reading and writing. It knows no time; the link's ticks ask it whether the peer is dead.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};
use tracing::warn;

use super::{Source, TextReceiver};
use crate::{
    limits::{
        WEBSOCKET_CLOSE, WEBSOCKET_READ_BATCH_MAX, WRITE_BATCH_BYTES_MAX, WRITE_BATCH_ITEMS_MAX,
    },
    link::{Drained, Outgoing},
    message::{HOP_BYTES_MAX, write_hop},
    transport::Flow,
};

/// Batches written before what was read has its turn again.
const BATCHES_A_TURN: usize = 4;

pub(super) struct Pump<S, R> {
    socket: WebSocketStream<TcpStream>,
    source: S,
    receiver: R,
    /// Taken out of the source, not yet given to the socket.
    batch: VecDeque<Outgoing>,
    drained: Vec<Outgoing>,
    /// Where a numbered message and its hop are joined. The socket copies what it is given, so it is free
    /// again then.
    joined: BytesMut,
    unflushed: bool,
    /// Nothing more is taken out of the source.
    ending: bool,
    /// The source ends as soon as it has nothing at hand.
    finishing: bool,
    reading: Reading,
    /// Something came since the last tick.
    heard: bool,
    /// A ping is out that nothing came after.
    pinged: bool,
}

enum Reading {
    On,
    Paused(Pin<Box<dyn Future<Output = ()> + Send>>),
    Stopped,
}

/// Why the exchange is over.
pub(super) enum Exit {
    /// The source ended, and everything is written.
    Drained,
    /// We were asked to close.
    Closed,
    /// The peer closed.
    Peer { code: u64, reason: String },
    /// The peer broke the protocol.
    Broken { code: CloseCode, reason: String },
    /// The peer is silent.
    Silent,
    /// The network or the peer's system took the connection away.
    Lost { reason: String },
}

impl<S: Source, R: TextReceiver> Pump<S, R> {
    pub(super) fn new(
        socket: WebSocketStream<TcpStream>,
        source: S,
        receiver: R,
        first: VecDeque<Outgoing>,
    ) -> Self {
        Pump {
            socket,
            source,
            receiver,
            batch: first,
            drained: Vec::with_capacity(WRITE_BATCH_ITEMS_MAX),
            joined: BytesMut::new(),
            unflushed: false,
            ending: false,
            finishing: false,
            reading: Reading::On,
            heard: true,
            pinged: false,
        }
    }

    /// Reads and writes until the connection is over. Cancel-safe.
    pub(super) async fn exchange(&mut self) -> Exit {
        poll_fn(|context| {
            // Reading first: what it brings about may be written at once.
            if let Poll::Ready(exit) = self.poll_read(context) {
                return Poll::Ready(exit);
            }
            self.poll_write(context)
        })
        .await
    }

    /// True if the peer didn't answer our ping since the last tick; sends one if nothing was heard. While we
    /// are paused nothing can be heard, and nobody is called dead.
    pub(super) fn is_dead(&mut self) -> bool {
        let quiet = !std::mem::take(&mut self.heard);
        if !quiet || matches!(self.reading, Reading::Paused(_)) {
            self.pinged = false;
            return false;
        }
        if self.pinged {
            return true;
        }
        self.pinged = true;
        self.unflushed = true;
        // An error shows again when the exchange goes on.
        let _ = Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()));
        false
    }

    /// Reads nothing more, and takes what the source holds for all that it will give.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
        self.reading = Reading::Stopped;
    }

    /// Gives what was not written back to the source; what it doesn't want comes out.
    pub(super) fn give_back(&mut self) -> Vec<Outgoing> {
        self.source.give_back(std::mem::take(&mut self.batch).into())
    }

    /// Says why we close, and gives the peer a moment to answer.
    pub(super) async fn close(mut self, frame: CloseFrame) {
        let socket = &mut self.socket;
        let farewell = async {
            poll_fn(|context| Pin::new(&mut *socket).poll_ready(context)).await?;
            Pin::new(&mut *socket).start_send(Message::Close(Some(frame)))?;
            poll_fn(|context| Pin::new(&mut *socket).poll_flush(context)).await?;
            drain(socket).await;
            Ok::<(), Error>(())
        };
        // Whoever does not answer is cut all the same.
        let _ = timeout(WEBSOCKET_CLOSE, farewell).await;
    }

    /// Sends the answer to the peer's close, which lies ready.
    pub(super) async fn answer_close(mut self) {
        let _ = timeout(WEBSOCKET_CLOSE, drain(&mut self.socket)).await;
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Exit> {
        match &mut self.reading {
            Reading::On => {}
            Reading::Paused(resume) => {
                ready!(resume.as_mut().poll(context));
                self.reading = Reading::On;
            }
            Reading::Stopped => return Poll::Pending,
        }
        let mut taken = 0;
        let exit = loop {
            if taken == WEBSOCKET_READ_BATCH_MAX {
                context.waker().wake_by_ref();
                break Poll::Pending;
            }
            let message = match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(message) => message,
            };
            self.heard = true;
            taken += 1;
            let flow = match self.take(message) {
                Ok(flow) => flow,
                Err(exit) => break Poll::Ready(exit),
            };
            match flow {
                Flow::Continue => continue,
                Flow::Pause(resume) => {
                    self.reading =
                        Reading::Paused(Box::pin(async move { resume.notified().await }));
                    // The next poll waits for it.
                    context.waker().wake_by_ref();
                }
                Flow::Stop => self.reading = Reading::Stopped,
            }
            break Poll::Pending;
        };
        if taken > 0 {
            self.receiver.on_batch_end();
        }
        exit
    }

    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<Flow, Exit> {
        match message {
            Some(Ok(Message::Text(text))) => Ok(self.receiver.on_text(text.into())),
            Some(Ok(Message::Binary(bytes))) => Err(Exit::Broken {
                code: CloseCode::Unsupported,
                reason: format!("binary frame of {} bytes, only text is spoken", bytes.len()),
            }),
            // tungstenite answers pings by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Flow::Continue),
            Some(Ok(Message::Close(close))) => Err(match close {
                Some(CloseFrame { code, reason }) => {
                    Exit::Peer { code: u16::from(code).into(), reason: reason.to_string() }
                }
                None => {
                    Exit::Peer { code: u16::from(CloseCode::Status).into(), reason: String::new() }
                }
            }),
            Some(Err(error)) => Err(exit(error)),
            None => Err(Exit::Lost { reason: "connection closed".into() }),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Exit> {
        for turn in 0.. {
            if let Err(error) = ready!(self.poll_feed(context)) {
                return Poll::Ready(exit(error));
            }
            if turn == BATCHES_A_TURN {
                context.waker().wake_by_ref();
                break;
            }
            if self.ending || !self.poll_fill(context) {
                break;
            }
        }
        if self.unflushed {
            if let Err(error) = ready!(Pin::new(&mut self.socket).poll_flush(context)) {
                return Poll::Ready(exit(error));
            }
            self.unflushed = false;
        }
        match self.ending && self.batch.is_empty() {
            true => Poll::Ready(Exit::Drained),
            false => Poll::Pending,
        }
    }

    /// Gives the whole batch to the socket.
    fn poll_feed(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(item) = self.batch.front() {
            ready!(Pin::new(&mut self.socket).poll_ready(context))?;
            let frame = encode(item, &mut self.joined);
            self.batch.pop_front();
            if let Some(frame) = frame {
                self.unflushed = true;
                Pin::new(&mut self.socket).start_send(frame)?;
            }
        }
        if self.joined.capacity() > WRITE_BATCH_BYTES_MAX {
            self.joined = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next batch out of the source; false if there is none now.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> bool {
        match self.source.poll_drain(context, &mut self.drained, WRITE_BATCH_ITEMS_MAX) {
            Poll::Ready(Drained::Items(_)) => {
                self.batch.extend(self.drained.drain(..));
                true
            }
            Poll::Ready(Drained::End) => {
                self.ending = true;
                false
            }
            Poll::Pending => {
                self.ending = self.finishing;
                false
            }
        }
    }
}

async fn drain(socket: &mut WebSocketStream<TcpStream>) {
    while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut *socket).poll_next(context)).await {}
}

/// One text frame of the message, `hop` written before the rest of its bytes.
///
/// The frame is made as it goes on the wire: the bytes were found to be UTF-8 when they were parsed. It is
/// one piece, so what has a hop is copied behind it, into `joined`.
fn encode(item: &Outgoing, joined: &mut BytesMut) -> Option<Message> {
    let bytes = match item {
        Outgoing::Message { bytes, hop: None } => bytes.clone(),
        Outgoing::Message { bytes, hop: Some(hop) } => {
            // White space before the outer object has no place behind a hop.
            let members = memchr::memchr(b'{', bytes).map_or(0, |open| open + 1);
            joined.reserve(HOP_BYTES_MAX + bytes.len());
            write_hop(*hop, joined);
            joined.put_slice(&bytes[members..]);
            joined.split().freeze()
        }
        Outgoing::Control(bytes) => {
            warn!(bytes = bytes.len(), "a control object is no message: not written");
            return None;
        }
    };
    Some(Message::Frame(Frame::message(bytes, OpCode::Data(Data::Text), true)))
}

fn exit(error: Error) -> Exit {
    let broken = |code, error: &dyn fmt::Display| Exit::Broken { code, reason: error.to_string() };
    match error {
        Error::Capacity(error) => broken(CloseCode::Size, &error),
        Error::Utf8(error) => broken(CloseCode::Invalid, &error),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
            Exit::Lost { reason: error.to_string() }
        }
        Error::Protocol(error) => broken(CloseCode::Protocol, &error),
        other => Exit::Lost { reason: other.to_string() },
    }
}
