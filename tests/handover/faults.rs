//! What happens to connections and processes: connecting, cutting, dying.

use super::*;

impl World {
    /// Cuts what leaves `side` directly. What is under way is lost, but for some that arrives late.
    pub(super) fn cut(&mut self, side: usize) {
        let notices = self.now + Duration::from_millis(self.random.in_range(0, self.notice_ms));
        let Some(link) = self.nodes[side].direct.as_mut().filter(|link| link.alive) else { return };
        let connection = link.connection;
        link.alive = false;
        let flight = std::mem::take(&mut link.flight);
        self.at(notices, Action::Close { side, connection });
        let Some(mut announced) = self.nodes[1 - side].direct.as_ref().map(|link| link.announced)
        else {
            return;
        };
        let late = self.random.in_range(0, 2 * flight.len() as u64 + 1) as usize;
        let mut at = self.now;
        for (_, item) in flight.into_iter().take(late.saturating_sub(3)) {
            at += Duration::from_millis(self.random.in_range(0, 100));
            let hop = match &item {
                Outgoing::Control(text) => {
                    let _ = announced.read(std::str::from_utf8(text).expect("text"));
                    None
                }
                Outgoing::Message { hop, .. } => hop.and_then(|hop| announced.hop(hop.number)),
            };
            self.at(at, Action::Late { side: 1 - side, item, hop });
        }
    }

    pub(super) fn connect(&mut self) {
        let connection = self.random.draw();
        for side in 0..2 {
            self.drop_link(side);
            let items = self.random.in_range(3, 100) as usize;
            self.nodes[side].direct = Some(Link {
                connection,
                queue: Arc::new(Outbox::new(items, 1 << 20)),
                flight: VecDeque::new(),
                announced: Announced::default(),
                alive: true,
            });
            let opens = self.now + Duration::from_millis(self.random.in_range(0, 30));
            self.at(opens, Action::Open { side, connection });
        }
    }

    pub(super) fn open(&mut self, side: usize, connection: u64) {
        let now = self.now;
        let node = &mut self.nodes[side];
        let Some(link) = node.direct.as_ref().filter(|link| link.connection == connection) else {
            return;
        };
        if !link.alive {
            return;
        }
        let via = url("runtime://a/1/p2phandler/1/connection");
        node.peer.open_direct(Arc::clone(&link.queue) as _, via, now);
        node.peer.offer(now);
    }

    pub(super) fn close(&mut self, side: usize, connection: u64) {
        if self.nodes[side].direct.as_ref().is_some_and(|link| link.connection == connection) {
            self.drop_link(side);
        }
    }

    pub(super) fn drop_link(&mut self, side: usize) {
        let node = &mut self.nodes[side];
        if let Some(link) = node.direct.take() {
            link.queue.close();
            node.peer.close_direct(self.now);
        }
    }

    pub(super) fn reborn(&mut self, side: usize) {
        let other = &mut self.nodes[1 - side];
        if let Some(link) = other.direct.as_mut() {
            link.alive = false;
            link.flight.clear();
        }
        let gone = other.direct.as_ref().map(|link| link.connection);
        let node = &mut self.nodes[side];
        let counters = node.peer.counters();
        node.before.resent += counters.resent;
        node.direct = None;
        node.life += 1;
        // What the dead process had in its queues is gone with it.
        for leg in &mut node.stubs {
            leg.queue.try_drain(&mut Vec::new(), usize::MAX);
        }
        node.peer = new_peer(side, &self.random, self.config, &node.stubs, self.now);
        node.numbers.clear();
        if let Some(connection) = gone {
            let notices = self.now + Duration::from_millis(self.random.in_range(0, 1_000));
            self.at(notices, Action::Close { side: 1 - side, connection });
        }
    }
}
