//! What the fuzz target `bus` does, as a plain function: bytes are listeners that come and go, prefixes that
//! are published, and messages, on a small set of addresses; who gets what must be as the naive bus says.
//!
//! Three bytes a step: what to do, how, and on which address.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Instant,
};

use hyperty_router::{
    address::Url,
    bus::{BusConfig, Incoming, MessageBus},
    link::{Delivery, Ingress, LinkId, Path, Refusal, Stub},
    message::{Message, To},
    registry::ListenerKey,
};

use crate::naive_bus::{NaiveBus, Takers};

const RUNTIME: &str = "hyperty-runtime://d/me";
const STUB_LINK: u32 = 9;
/// Stands for the Message Node among the numbers of listeners.
const NODE: usize = usize::MAX;
/// Each may take memory, and none proves more than a few.
const LISTENERS_MAX: usize = 64;

/// Runs the steps in `data`; the first byte says whether there is a Message Node.
///
/// # Panics
/// If the two buses differ anywhere.
pub(crate) fn run(data: &[u8]) {
    let Some((first, steps)) = data.split_first() else { return };
    let mut world = World::new(first & 1 != 0);
    for step in steps.as_chunks::<3>().0 {
        world.step(*step);
    }
}

/// What was taken, by whom, to which `to`, and its bytes.
type Taken = Arc<Mutex<Vec<(usize, String, Vec<u8>)>>>;

struct World {
    bus: MessageBus,
    naive: NaiveBus,
    keys: Vec<Option<ListenerKey>>,
    taken: Taken,
    now: Instant,
}

impl World {
    fn new(has_stub: bool) -> World {
        let url = |text: &str| Url::parse(text).expect("a URL of the body");
        let (bus, taken) = (MessageBus::new(BusConfig::new(url(RUNTIME))), Taken::default());
        if has_stub {
            bus.add_stub(Arc::new(Stub {
                url: url("hyperty-runtime://d/me/protostub/d"),
                domain: "d".into(),
                link: LinkId(STUB_LINK),
                sink: sink(NODE, &taken),
            }));
        }
        let naive = NaiveBus::new(RUNTIME, has_stub);
        World { bus, naive, keys: Vec::new(), taken, now: Instant::now() }
    }

    fn step(&mut self, [act, how, which]: [u8; 3]) {
        let text = address(which);
        match act % 6 {
            0 | 1 if self.keys.len() < LISTENERS_MAX => self.add(&text, how),
            0..=2 => self.remove(how),
            3 if how & 1 == 0 => {
                self.bus.add_publish(&Url::parse(&text).expect("right"));
                self.naive.add_publish(&text);
            }
            3 => {
                let prefix = Url::parse(&text).expect("right");
                assert_eq!(self.bus.remove_publish(&prefix), self.naive.remove_publish(&text));
            }
            4 => self.post(&text, how),
            _ => self.deliver(&text, how),
        }
    }

    fn add(&mut self, text: &str, how: u8) {
        let (number, exact) = (self.keys.len(), how & 1 != 0);
        let (url, sink) = (Url::parse(text).expect("right"), sink(number, &self.taken));
        // 0 is no link's number: `None`.
        let link = Some(u32::from(how >> 1 & 3)).filter(|link| *link != 0 && !exact);
        let key = match exact {
            true => self.bus.add_exact_listener(url, sink),
            false => self.bus.add_listener(url, link.map(LinkId), sink),
        };
        self.keys.push(Some(key));
        self.naive.add_listener(text, number, link, exact);
    }

    fn remove(&mut self, how: u8) {
        let number = usize::from(how) % self.keys.len().max(1);
        if let Some(key) = self.keys.get_mut(number).and_then(Option::take) {
            assert!(self.bus.remove_listener(&key));
            assert!(!self.bus.remove_listener(&key), "it had gone");
            self.naive.remove_listener(number);
        }
    }

    fn post(&mut self, to: &str, how: u8) {
        let (link, from) = (u32::from(how & 3), address(how >> 4));
        let (message, is_request) = message(how, &from, to);
        let ingress = Ingress { path: Path::Local, link: LinkId(link) };
        let posted = self.bus.post(message.bytes().clone(), ingress, self.now);
        let takers = self.naive.post(to, link);
        let posted = posted.expect("it is a message");
        match &posted.targets[0] {
            Ok(_) => assert!(!takers.is_nobody(), "{to}: nobody was to take it"),
            Err(error) => {
                assert!(takers.is_nobody(), "{to}: {error}");
                assert_eq!(error.code(), 404);
            }
        }
        self.check(&takers, &message, is_request);
    }

    fn deliver(&mut self, to: &str, how: u8) {
        let (link, from) = (u32::from(how & 3), address(how >> 4));
        let (message, is_request) = message(how, &from, to);
        let ingress = Ingress { path: Path::MessageNode, link: LinkId(link) };
        let delivery = Delivery { message: message.clone(), ingress, hop: None };
        let incoming = self.bus.deliver(delivery, self.now).expect("no sink is full");
        let takers = self.naive.deliver(to, link);
        assert_eq!(matches!(incoming, Incoming::Dropped(_)), takers.is_nobody());
        self.check(&takers, &message, is_request);
    }

    /// What was taken since the last time: the message by `takers`, or a 404 by whoever gets what is sent to
    /// its sender.
    fn check(&self, takers: &Takers, message: &Message, is_request: bool) {
        let taken = std::mem::take(&mut *self.taken.lock().expect("not poisoned"));
        let by: BTreeSet<usize> = taken.iter().map(|(number, ..)| *number).collect();
        assert_eq!(by.len(), taken.len(), "each once");
        if takers.is_nobody() && is_request {
            let expected = self.naive.post(&message.from(), 0);
            assert_eq!(by, numbers(&expected));
            assert!(taken.iter().all(|(_, to, _)| *to == message.from()));
        } else {
            assert_eq!(by, numbers(takers));
            assert!(
                taken.iter().all(|(.., bytes)| bytes == message.bytes()),
                "bytes in, bytes out"
            );
        }
    }
}

fn numbers(takers: &Takers) -> BTreeSet<usize> {
    takers.listeners.iter().copied().chain(takers.node.then_some(NODE)).collect()
}

fn sink(number: usize, taken: &Taken) -> Arc<dyn hyperty_router::link::Sink> {
    let taken = taken.clone();
    Arc::new(move |delivery: Delivery| -> Result<(), Refusal> {
        let To::One(to) = delivery.message.to() else { panic!("one URL") };
        let one = (number, to.into_owned(), delivery.message.bytes().to_vec());
        taken.lock().expect("not poisoned").push(one);
        Ok(())
    })
}

/// An update, a request or a response; true if it draws an error.
fn message(how: u8, from: &str, to: &str) -> (Message, bool) {
    let kind = ["update", "execute", "response"][usize::from(how >> 2) % 3];
    let text =
        format!(r#"{{"id":1,"type":"{kind}","from":"{from}","to":"{to}","body":{{"code":200}}}}"#);
    (Message::parse(text.into()).expect("it is one"), kind == "execute")
}

/// One of 64 addresses, ours and others', up to three segments deep; `c` beside `cart`.
fn address(number: u8) -> String {
    let mut text = String::from(["s://d/x", RUNTIME][usize::from(number & 1)]);
    let mut rest = (number >> 1) % 32;
    while rest > 0 {
        text += ["/c", "/cart", "/a-longer-segment"][usize::from(rest % 3)];
        rest /= 3;
    }
    text
}
