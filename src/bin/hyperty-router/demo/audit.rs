//! What Bob counts: by the numbers in the messages, and by nothing else.

use std::time::{Duration, Instant};

use hyperty_router::link::{Delivery, Path};

/// The receiver's count.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// One bit for each number that has come, in words of 64.
    seen: Vec<u64>,
    highest: u64,
    pub(super) delivered: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    /// Not of this demo, or without a number.
    pub(super) foreign: u64,
    pub(super) by_node: u64,
    pub(super) by_p2p: u64,
    last_at: Option<Instant>,
    /// The longest time between two messages while more were on their way.
    pub(super) longest_pause: Duration,
}

impl Audit {
    /// Counts one message, whose number is `body.value`.
    pub(super) fn count(&mut self, delivery: &Delivery, now: Instant) {
        let number = delivery.message.body_member(&["value"]).and_then(|text| text.parse().ok());
        let Some(number) = number.filter(|number: &u64| *number > 0) else {
            self.foreign += 1;
            return;
        };
        if !self.mark(number) {
            self.duplicated += 1;
            return;
        }
        if number < self.highest {
            self.reordered += 1;
        }
        self.highest = self.highest.max(number);
        self.delivered += 1;
        match delivery.ingress.path {
            Path::P2p => self.by_p2p += 1,
            _ => self.by_node += 1,
        }
        if let Some(last) = self.last_at.replace(now) {
            self.longest_pause = self.longest_pause.max(now - last);
        }
    }

    /// The next message opens a new stretch: the time before it is no pause of the router's.
    pub(super) fn rest(&mut self) {
        self.last_at = None;
    }

    /// False if the number has come before.
    fn mark(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use hyperty_router::{
        link::{Ingress, LinkId},
        message::Message,
    };

    use super::*;

    fn delivery(number: &str, path: Path) -> Delivery {
        let text = format!(
            r#"{{"type":"update","from":"hyperty://a/1","to":"hyperty://a/2","body":{{"value":{number}}}}}"#
        );
        let message = Message::parse(text.into()).unwrap();
        Delivery { message, ingress: Ingress { path, link: LinkId(0) }, hop: None }
    }

    #[test]
    fn loss_doubles_and_disorder_are_told_apart() {
        let mut audit = Audit::default();
        let now = Instant::now();
        for number in ["1", "3", "2", "3", "700", "\"x\"", "0"] {
            audit.count(&delivery(number, Path::P2p), now);
        }
        audit.count(&delivery("4", Path::MessageNode), now);
        assert_eq!((audit.delivered, audit.duplicated, audit.reordered), (5, 1, 2));
        assert_eq!((audit.by_p2p, audit.by_node, audit.foreign), (4, 1, 2));
    }
}
