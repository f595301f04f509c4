//! The legs to the Message Nodes: connecting, carrying, breaking, coming back. A leg that breaks loses what
//! is under way on it; each end notices in its own time, and until then sends into nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    limits::{RECONNECT_CEILING, RECONNECT_FIRST},
    link::Outgoing,
    message::{Hop, Message, write_hop},
    node::{FrameEnd, MessageNode, NodeConfig, Socket},
};

use super::{
    act::Action,
    dice::Dice,
    party::{landed, launch},
    world::World,
};

/// A Message Node of the world.
pub(crate) struct Node {
    pub(crate) domain: String,
    pub(crate) node: Arc<MessageNode>,
    pub(crate) up: bool,
}

/// A Message Node that remembers nothing.
pub(crate) fn new_node(domain: &str, dice: &Dice) -> Arc<MessageNode> {
    let own = Dice::new(dice.draw());
    let random = move |bytes: &mut [u8]| {
        for part in bytes.chunks_mut(8) {
            let drawn = own.draw().to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
    };
    Arc::new(MessageNode::new(NodeConfig::new(domain), random).unwrap())
}

impl World {
    /// Everything that is due on the legs of one runtime.
    pub(super) fn tend_legs(&mut self, party: usize) -> bool {
        let mut moved = false;
        for leg in 0..self.parties[party].legs.len() {
            moved |= self.tend_leg(party, leg);
        }
        moved
    }

    fn tend_leg(&mut self, party: usize, at: usize) -> bool {
        let now = self.now;
        let leg = &mut self.parties[party].legs[at];
        if leg.client_notices.is_some_and(|due| due <= now) {
            self.client_loses(party, at);
            return true;
        }
        if leg.connect_at.is_some_and(|due| due <= now) {
            self.connect(party, at);
            return true;
        }
        let expired = leg.socket.is_none() && leg.queue.expires_at().is_some_and(|due| due <= now);
        if expired {
            self.expire(party, at);
        }
        let moved = self.carry_up(party, at);
        self.carry_down(party, at) || moved || expired
    }

    /// What has waited for the deadline is given back; numbered messages are their peer's to decide about.
    fn expire(&mut self, party: usize, at: usize) {
        let now = self.now;
        let queue = self.parties[party].legs[at].queue.clone();
        while queue.expires_at().is_some_and(|due| due <= now) {
            match queue.pop() {
                Some((message, None)) => self.parties[party].ua.return_message(message, 503, now),
                Some(_) => {}
                None => return,
            }
        }
    }

    fn carry_up(&mut self, party: usize, at: usize) -> bool {
        let (now, dice) = (self.now, self.dice.clone());
        let (least, most) = self.node_delay;
        let leg = &mut self.parties[party].legs[at];
        let Some(socket) = leg.socket.clone() else { return false };
        let mut moved = false;
        while leg.opened
            && let Some((message, hop)) = leg.queue.pop()
        {
            moved = true;
            if leg.broken {
                continue;
            }
            let frame = encode(message, hop);
            let wait = Duration::from_micros(dice.between(least, most));
            launch(&mut leg.up, now + wait, frame.clone());
            // Requests are not repeated by any link; what is numbered, and its control, may be.
            if (hop.is_some() || is_hand_over(&frame)) && dice.chance(self.duplicate_percent) {
                let later = Duration::from_micros(dice.between(least, 4 * most));
                launch(&mut leg.up, now + later, frame);
            }
        }
        let node = self.nodes[leg.node].node.clone();
        while let Some(frame) = landed(&mut self.parties[party].legs[at].up, now) {
            moved = true;
            self.trace.note(self.clock.age(), "up", party, &frame);
            if node.on_frame(&socket, frame, now) == FrameEnd::CloseSocket {
                self.leg_closed(party, at);
                break;
            }
        }
        moved
    }

    fn carry_down(&mut self, party: usize, at: usize) -> bool {
        let (now, dice) = (self.now, self.dice.clone());
        let (least, most) = self.node_delay;
        let leg = &mut self.parties[party].legs[at];
        let Some(socket) = leg.socket.clone() else { return false };
        let mut frames = Vec::new();
        socket.try_drain(&mut frames, usize::MAX);
        let mut moved = !frames.is_empty();
        for frame in frames {
            let Outgoing::Message { bytes, hop: None } = frame else { panic!("a node numbers") };
            if !leg.broken {
                let wait = Duration::from_micros(dice.between(least, most));
                launch(&mut leg.down, now + wait, bytes);
            }
        }
        while let Some(frame) = landed(&mut self.parties[party].legs[at].down, now) {
            moved = true;
            self.trace.note(self.clock.age(), "down", party, &frame);
            self.take_from_node(party, at, frame);
            self.collect(party);
        }
        if socket.is_ended() && self.parties[party].legs[at].socket.is_some() {
            self.leg_closed(party, at);
        }
        moved
    }

    fn take_from_node(&mut self, party: usize, at: usize, frame: Bytes) {
        let now = self.now;
        let party = &mut self.parties[party];
        let leg = &mut party.legs[at];
        if !leg.opened && is_of_session(&frame) {
            let message = Message::parse(frame).expect("a Message Node sends messages");
            assert_eq!(message.body_member(&["code"]), Some("200"), "{message:?}");
            let token = message.body_text(&["runtimeToken"]).map(|token| token.into_owned());
            let fresh = token.is_some();
            if fresh {
                leg.token = token;
            }
            (leg.opened, leg.failures) = (true, 0);
            party.ua.node_opened(&leg.domain, fresh, now);
        } else {
            leg.ingress.on_text(frame, now).expect("a Message Node sends messages");
        }
    }

    fn connect(&mut self, party: usize, at: usize) {
        let now = self.now;
        let wait = Duration::from_micros(self.dice.between(self.node_delay.0, self.node_delay.1));
        let party = &mut self.parties[party];
        let leg = &mut party.legs[at];
        let node = &self.nodes[leg.node];
        leg.connect_at = None;
        if !node.up || leg.out_until.is_some_and(|until| now < until) {
            let base = RECONNECT_FIRST * 2u32.pow(leg.failures.min(10));
            leg.failures += 1;
            leg.connect_at = Some(now + base.min(RECONNECT_CEILING));
            return;
        }
        let socket = node.node.open_socket().expect("room");
        let (kind, from) = match &leg.token {
            None => ("open", party.url.to_string()),
            Some(token) => ("re-open", format!("{}/{token}", party.url)),
        };
        let open = format!(r#"{{"id":1,"type":"{kind}","from":"{from}","to":"mn:/session"}}"#);
        launch(&mut leg.up, now + wait, open.into());
        leg.socket = Some(socket);
    }

    /// Nothing passes from now on; the client and the server each notice after a while.
    pub(super) fn break_leg(
        &mut self,
        party: usize,
        at: usize,
        client: Duration,
        server: Duration,
    ) {
        let now = self.now;
        let leg = &mut self.parties[party].legs[at];
        let Some(socket) = leg.socket.clone().filter(|_| !leg.broken) else { return };
        leg.broken = true;
        leg.up.clear();
        leg.down.clear();
        leg.client_notices = Some(now + client);
        let node = self.nodes[leg.node].node.clone();
        self.plan(now + server, Action::ServerNotices { node, socket });
    }

    /// The Message Node is done with the socket.
    fn leg_closed(&mut self, party: usize, at: usize) {
        let leg = &mut self.parties[party].legs[at];
        if let Some(socket) = leg.socket.clone() {
            self.nodes[leg.node].node.on_socket_closed(&socket, self.now);
        }
        self.client_loses(party, at);
    }

    fn client_loses(&mut self, party: usize, at: usize) {
        let now = self.now;
        let party = &mut self.parties[party];
        let leg = &mut party.legs[at];
        (leg.socket, leg.opened, leg.broken, leg.client_notices) = (None, false, false, None);
        leg.up.clear();
        leg.down.clear();
        leg.connect_at = (party.alive && !party.leaving).then_some(now + RECONNECT_FIRST);
        party.ua.node_closed(&leg.domain);
    }

    /// The Message Node is gone; all its sockets break.
    pub(super) fn stop_node(&mut self, at: usize, down: Duration, forget: bool) {
        self.nodes[at].up = false;
        for party in 0..self.parties.len() {
            for leg in 0..self.parties[party].legs.len() {
                if self.parties[party].legs[leg].node == at {
                    let notices = Duration::from_micros(self.dice.between(0, 100_000));
                    self.break_leg(party, leg, notices, Duration::ZERO);
                }
            }
        }
        self.plan(self.now + down, Action::NodeStarts { node: at, forget });
    }

    pub(super) fn start_node(&mut self, at: usize, forget: bool) {
        let node = &mut self.nodes[at];
        node.up = true;
        if forget {
            node.node = new_node(&node.domain, &self.dice);
        }
    }

    /// The session of each leg is closed in order, behind what is under way.
    pub(super) fn close_sessions(&mut self, party: usize) {
        let now = self.now;
        let party = &mut self.parties[party];
        party.leaving = true;
        for leg in &mut party.legs {
            if let Some(token) = leg.token.as_ref().filter(|_| leg.opened) {
                let from = format!("{}/{token}", party.url);
                let close =
                    format!(r#"{{"id":2,"type":"close","from":"{from}","to":"mn:/session"}}"#);
                launch(&mut leg.up, now, close.into());
            }
        }
    }

    pub(super) fn next_of_legs(&self, party: usize) -> Option<Instant> {
        let legs = self.parties[party].legs.iter().flat_map(|leg| {
            let expiry = leg.queue.expires_at().filter(|_| leg.socket.is_none());
            let up = leg.up.front().map(|(at, _)| *at);
            let down = leg.down.front().map(|(at, _)| *at);
            [leg.client_notices, leg.connect_at, expiry, up, down].into_iter().flatten()
        });
        legs.min()
    }
}

/// Ends a socket whose client has vanished.
pub(super) fn server_notices(node: &MessageNode, socket: &Arc<Socket>, now: Instant) {
    node.on_socket_closed(socket, now);
}

fn encode(message: Message, hop: Option<Hop>) -> Bytes {
    let bytes = message.into_bytes();
    let Some(hop) = hop else { return bytes };
    let mut text = Vec::with_capacity(bytes.len() + 64);
    write_hop(hop, &mut text);
    text.extend_from_slice(&bytes[1..]);
    text.into()
}

fn is_hand_over(frame: &[u8]) -> bool {
    memchr::memmem::find(frame, br#""control":""#).is_some()
}

fn is_of_session(frame: &[u8]) -> bool {
    memchr::memmem::find(frame, br#""from":"mn:/session""#).is_some()
}
