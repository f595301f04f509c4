//! The MiniBus against a naive one: as long as its listeners are few, and when they are more.
//!
//! Goal: where its listeners stand makes no difference; every message reaches those that the rule names, by
//! each of the ways into a sandbox. Method: random edits and deliveries on a bus that begins with none and on
//! one that has had many, both held against a loop over all listeners.

use std::sync::Arc;

use hyperty_router::{
    address::Url,
    bus::{MiniBus, MiniKey, Path as BusPath},
    limits::MINI_BUS_LIST_MAX,
    link::{Delivery, Ingress, LinkId, Outbox, Path, Refusal, Sink},
    message::Message,
};
use proptest::prelude::*;

/// Prefixes of each other, and what only looks like one.
const URLS: [&str; 7] = [
    "hyperty://a",
    "hyperty://a/1",
    "hyperty://a/1/x",
    "hyperty://a/1/x/y",
    "hyperty://a/12",
    "hyperty://a/2",
    "comm://a/1",
];

/// The sandbox that the message comes from, or that a listener stands in.
const LINKS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Add { url: usize, exact: bool, link: u32 },
    Remove { nth: usize },
    SetDefault { is_there: bool },
    ToTarget { to: usize, link: u32 },
    ByPath { path: usize, link: u32 },
    RunToTargets { to: Vec<(usize, u32)> },
    RunByPath { path: usize, links: Vec<u32> },
}

fn step() -> impl Strategy<Value = Step> {
    let (url, link) = (0..URLS.len(), 0..LINKS);
    prop_oneof![
        4 => (url.clone(), any::<bool>(), link.clone())
            .prop_map(|(url, exact, link)| Step::Add { url, exact, link }),
        2 => (0..20_usize).prop_map(|nth| Step::Remove { nth }),
        1 => any::<bool>().prop_map(|is_there| Step::SetDefault { is_there }),
        2 => (url.clone(), link.clone()).prop_map(|(to, link)| Step::ToTarget { to, link }),
        2 => (url.clone(), link.clone()).prop_map(|(path, link)| Step::ByPath { path, link }),
        1 => prop::collection::vec((url.clone(), link.clone()), 0..6)
            .prop_map(|to| Step::RunToTargets { to }),
        1 => (url, prop::collection::vec(link, 0..6))
            .prop_map(|(path, links)| Step::RunByPath { path, links }),
    ]
}

/// A listener as the naive bus knows it. Exact ones have no link of their own.
struct Known {
    url: &'static str,
    exact: bool,
    link: Option<LinkId>,
    sink: Arc<Outbox<Delivery>>,
    keys: [MiniKey; 2],
}

impl Known {
    fn covers(&self, at: &str) -> bool {
        let rest = at.strip_prefix(self.url);
        rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && !self.exact))
    }
}

struct World {
    buses: [MiniBus; 2],
    known: Vec<Known>,
    default: Arc<Outbox<Delivery>>,
    has_default: bool,
}

impl World {
    fn new() -> Self {
        let buses = [MiniBus::new(), MiniBus::new()];
        // The second has had more than a list takes.
        let keys: Vec<MiniKey> = (0..=MINI_BUS_LIST_MAX)
            .map(|number| buses[1].add_listener(url(&format!("s://d/{number}")), None, queue()))
            .collect();
        assert!(keys.iter().all(|key| buses[1].remove_listener(key)));
        assert!(!keys.iter().any(|key| buses[1].remove_listener(key)));
        World { buses, known: Vec::new(), default: queue(), has_default: false }
    }

    /// The listeners that a message by `link` goes to, by the rule; `*` is the number behind the last.
    fn takers(&self, at: &str, link: u32, on_path: bool) -> Vec<usize> {
        let is_for = |of: &&Known| if on_path { of.url == at } else { of.covers(at) };
        let longest = self.known.iter().filter(is_for).map(|of| of.url.len()).max();
        let of_length = |of: &Known| Some(of.url.len()) == longest;
        let takers: Vec<usize> = (0..self.known.len())
            .filter(|number| {
                let of = &self.known[*number];
                is_for(&of) && of_length(of) && of.link != Some(LinkId(link))
            })
            .collect();
        match takers.is_empty() && self.has_default && !on_path {
            true => vec![self.known.len()],
            false => takers,
        }
    }

    /// Delivers `messages`, each at one of [`URLS`] and by a link, up to the first for which there is nobody.
    fn deliver(
        &self,
        messages: &[(usize, u32)],
        on_path: Option<usize>,
        deliver: impl Fn(&MiniBus, &mut [Option<Delivery>]) -> Result<(), Refusal>,
    ) {
        let mut expected = vec![0; self.known.len() + 1];
        let mut outcome = Ok(());
        for (to, link) in messages {
            let at = URLS[on_path.unwrap_or(*to)];
            let takers = self.takers(at, *link, on_path.is_some());
            if takers.is_empty() {
                outcome = Err(Refusal::Closed);
                break;
            }
            takers.into_iter().for_each(|taker| expected[taker] += 1);
        }
        for bus in &self.buses {
            let mut run: Vec<_> =
                messages.iter().map(|(to, link)| Some(delivery(*to, *link))).collect();
            assert_eq!(deliver(bus, &mut run), outcome, "{messages:?} by path {on_path:?}");
            let sinks = self.known.iter().map(|of| &of.sink).chain([&self.default]);
            let taken: Vec<usize> = sinks.map(|sink| drained(sink)).collect();
            assert_eq!(taken, expected, "{messages:?} by path {on_path:?}");
        }
    }

    fn take(&mut self, step: &Step, paths: &[[BusPath; URLS.len()]; 2]) {
        let path_of = |bus: &MiniBus, path: usize| {
            let number = usize::from(!std::ptr::eq(bus, &self.buses[0]));
            &paths[number][path]
        };
        match step {
            Step::Add { url: at, exact, link } => {
                let (at, sink) = (URLS[*at], queue());
                let link = (!exact).then_some(LinkId(*link));
                let keys = [0, 1].map(|number| match exact {
                    true => self.buses[number].add_exact_listener(url(at), sink.clone()),
                    false => self.buses[number].add_listener(url(at), link, sink.clone()),
                });
                self.known.push(Known { url: at, exact: *exact, link, sink, keys });
            }
            Step::Remove { nth } => {
                if *nth < self.known.len() {
                    let gone = self.known.remove(*nth);
                    for (bus, key) in self.buses.iter().zip(&gone.keys) {
                        assert!(bus.remove_listener(key));
                        assert!(!bus.remove_listener(key), "it is gone");
                    }
                }
            }
            Step::SetDefault { is_there } => {
                self.has_default = *is_there;
                for bus in &self.buses {
                    let default: Arc<dyn Sink> = self.default.clone();
                    bus.set_default_listener(is_there.then_some(default));
                }
            }
            Step::ToTarget { to, link } => {
                self.deliver(&[(*to, *link)], None, |bus, run| {
                    let one = run[0].take().expect("it was put there");
                    bus.deliver_to_target(one)
                });
                let at = url(URLS[*to]);
                self.deliver(&[(*to, *link)], None, |bus, run| {
                    bus.deliver(&at.address(), run[0].take().expect("it was put there"))
                });
            }
            Step::ByPath { path, link } => {
                self.deliver(&[(0, *link)], Some(*path), |bus, run| {
                    let one = run[0].take().expect("it was put there");
                    bus.deliver_by_path(path_of(bus, *path), one)
                });
            }
            Step::RunToTargets { to } => {
                self.deliver(to, None, |bus, run| bus.deliver_run_to_targets(run));
            }
            Step::RunByPath { path, links } => {
                let messages: Vec<_> = links.iter().map(|link| (0, *link)).collect();
                if !messages.is_empty() {
                    self.deliver(&messages, Some(*path), |bus, run| {
                        bus.deliver_run_by_path(path_of(bus, *path), run)
                    });
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    #[test]
    fn few_listeners_and_many_are_found_alike(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        let paths = || URLS.map(|of| BusPath::new(url(of)));
        let paths = [paths(), paths()];
        steps.iter().for_each(|step| world.take(step, &paths));
    }
}

/// A listener that was added to the list is removed by its key when there are more than the list takes.
#[test]
fn keys_outlive_the_list() {
    let (mini, sink) = (MiniBus::new(), queue());
    let keys: Vec<MiniKey> = (0..3 * MINI_BUS_LIST_MAX)
        .map(|_| mini.add_listener(url(URLS[1]), None, sink.clone()))
        .collect();
    for (removed, key) in keys.iter().enumerate() {
        mini.deliver_to_target(delivery(2, 0)).expect("there are some left");
        assert_eq!(drained(&sink), keys.len() - removed);
        assert!(mini.remove_listener(key) && !mini.remove_listener(key));
    }
    assert_eq!(mini.deliver_to_target(delivery(2, 0)), Err(Refusal::Closed));
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a test's URL is right")
}

fn queue() -> Arc<Outbox<Delivery>> {
    Arc::new(Outbox::new(64, 1 << 20))
}

fn drained(queue: &Outbox<Delivery>) -> usize {
    queue.try_drain(&mut Vec::new(), usize::MAX)
}

fn delivery(to: usize, link: u32) -> Delivery {
    let to = URLS[to];
    let text =
        format!(r#"{{"id":7,"type":"update","from":"hyperty://a/0","to":"{to}","body":{{}}}}"#);
    let message = Message::parse(text.into()).expect("a test's message is right");
    Delivery { message, ingress: Ingress { path: Path::Local, link: LinkId(link) }, hop: None }
}
