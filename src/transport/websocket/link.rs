//! One WebSocket connection, client's or server's, ready to carry frames.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    Source, TextReceiver,
    pump::{Exit, Pump},
};
use crate::{
    limits::CLOSE_REASON_BYTES_MAX,
    link::{Drained, Outgoing},
    transport::{Ended, Flow},
};

/// A WebSocket after its handshake. Dropped without [`WebSocketLink::run`], the connection is just cut.
#[derive(Debug)]
pub struct WebSocketLink {
    socket: WebSocketStream<TcpStream>,
    keep_alive: Duration,
    first: VecDeque<Outgoing>,
    closing: Arc<Closing>,
    /// A server's place for one socket, free again when this goes.
    place: Option<OwnedSemaphorePermit>,
}

/// How a socket ended, and what was taken out of the source, surely not sent, and not taken back by it.
#[derive(Debug)]
pub struct SocketEnd {
    /// How it ended.
    pub ended: Ended,
    /// In order, what is known to be unwritten; it can go first on the next socket.
    pub unwritten: Vec<Outgoing>,
}

/// Closes a socket that runs elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebSocketHandle(Arc<Closing>);

#[derive(Debug, Default)]
struct Closing {
    asked: Notify,
    how: Mutex<Option<How>>,
}

#[derive(Debug)]
enum How {
    AtOnce { reason: String },
    Drained { reason: String },
}

impl WebSocketHandle {
    /// Asks the socket to close, telling the peer `reason`, cut at 120 bytes. What wasn't written yet is not
    /// written.
    pub fn close(&self, reason: &str) {
        self.ask(How::AtOnce { reason: reason.to_string() });
    }

    /// Asks the socket to read nothing more, to write what its source holds now, and then to close as one
    /// that goes away (1001), telling the peer `reason`. How long that may take is the caller's to bound.
    pub fn finish(&self, reason: &str) {
        self.ask(How::Drained { reason: reason.to_string() });
    }

    fn ask(&self, how: How) {
        *self.0.how.lock() = Some(how);
        self.0.asked.notify_one();
    }
}

impl WebSocketLink {
    pub(super) fn new(
        socket: WebSocketStream<TcpStream>,
        keep_alive: Duration,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let closing = Arc::default();
        WebSocketLink { socket, keep_alive, first: VecDeque::new(), closing, place }
    }

    /// Has `frames` written before anything that the source gives: an `open`, or what an earlier socket left
    /// unwritten.
    pub fn write_first(&mut self, frames: impl IntoIterator<Item = Outgoing>) {
        self.first.extend(frames);
    }

    /// A handle that stays useful while [`WebSocketLink::run`] owns the link.
    pub fn handle(&self) -> WebSocketHandle {
        WebSocketHandle(Arc::clone(&self.closing))
    }

    /// Closes at once with `reason`, as one that has no room now (1013).
    pub async fn refuse(self, reason: &str) {
        let pump = Pump::new(self.socket, Nothing, Nothing, VecDeque::new());
        pump.close(frame(CloseCode::Again, reason)).await;
    }

    /// Carries frames both ways until the connection ends; dropping the future cuts it.
    ///
    /// Everything that is ready is written and flushed once, and waits for no timer. When the source ends,
    /// what it gave is written and the socket is closed in order. A peer that sends binary frames, or
    /// messages over the limit, is told so and cut.
    pub async fn run(self, source: impl Source, receiver: impl TextReceiver) -> SocketEnd {
        let WebSocketLink { socket, keep_alive, first, closing, place } = self;
        let mut pump = Pump::new(socket, source, receiver, first);
        let mut ticks = interval_at(Instant::now() + keep_alive, keep_alive);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut farewell = frame(CloseCode::Normal, "");
        let exit = loop {
            tokio::select! {
                biased;
                exit = pump.exchange() => break exit,
                () = closing.asked.notified() => match closing.how.lock().take() {
                    Some(How::Drained { reason }) => {
                        farewell = frame(CloseCode::Away, &reason);
                        pump.finish();
                    }
                    Some(How::AtOnce { reason }) => {
                        farewell = frame(CloseCode::Normal, &reason);
                        break Exit::Closed;
                    }
                    None => {}
                },
                _ = ticks.tick() => if pump.is_dead() {
                    break Exit::Silent;
                },
            }
        };
        // Before the farewell, which takes time: the next socket may come meanwhile.
        let unwritten = pump.give_back();
        let ended = match exit {
            Exit::Drained | Exit::Closed => {
                pump.close(farewell).await;
                Ended::ClosedHere
            }
            Exit::Silent => Ended::TimedOut,
            Exit::Peer { code, reason } => {
                pump.answer_close().await;
                Ended::ClosedByPeer { code, reason }
            }
            Exit::Broken { code, reason } => {
                pump.close(frame(code, &reason)).await;
                Ended::Protocol { reason }
            }
            Exit::Lost { reason } => Ended::Lost { reason },
        };
        drop(place);
        SocketEnd { ended, unwritten }
    }
}

/// Gives nothing and takes nothing.
struct Nothing;

impl Source for Nothing {
    fn poll_drain(
        &mut self,
        _context: &mut Context<'_>,
        _into: &mut Vec<Outgoing>,
        _max: usize,
    ) -> Poll<Drained> {
        Poll::Ready(Drained::End)
    }
}

impl TextReceiver for Nothing {
    fn on_text(&mut self, _text: Bytes) -> Flow {
        Flow::Stop
    }
}

fn frame(code: CloseCode, reason: &str) -> CloseFrame {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    CloseFrame { code, reason: reason.into() }
}
