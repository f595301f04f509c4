//! Posting in batches against posting one by one.
//!
//! Goal: `post_batch` is `post`, one after the other: the same outcomes, the same messages in the same sinks
//! in the same order, the same counts. `post_burst` is that as well, where a message that finds no room is
//! posted again before the next one. Method: two buses that are given the same listeners, edits and messages,
//! of all kinds that posting treats differently, one of them in batches; among the sinks are some that edit
//! the bus or post themselves while they are given a message.

#[path = "support/agreed.rs"]
mod agreed;

use std::{
    sync::{Arc, Mutex, Weak},
    time::Instant,
};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    bus::{Burst, BusConfig, MessageBus, PostError, Posted, PostedBatch, Stopped},
    handover::Peer,
    limits::POST_BURST_WAITS_MAX,
    link::{Delivery, Ingress, LinkId, Outbox, Outgoing, Path, Refusal, Sink, Stub},
    message::Message,
    registry::{ListenerKey, Place},
    status::Status,
};
use proptest::prelude::*;

use agreed::Agreed;

const RUNTIME: &str = "hyperty-runtime://a/alice";
const QUEUES: usize = 3;

/// What sinks that are no queues were given and what was answered, in order.
type Log = Arc<Mutex<Vec<String>>>;

struct World {
    bus: Arc<MessageBus>,
    log: Log,
    queues: Vec<Arc<Outbox<Delivery>>>,
    direct: Arc<Outbox<Outgoing>>,
    peer: Arc<Peer>,
    keys: Vec<ListenerKey>,
    now: Instant,
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a test's URL is right")
}

/// One of a few addresses, some below others.
fn address(number: usize) -> String {
    let of = ["comm://a/1", "comm://a/1/chat", "comm://a/2", "hyperty://b/3", "domain://b/4"];
    format!("{}{}", of[number % of.len()], ["", "/below", "/changes"][number / of.len() % 3])
}

impl World {
    fn new(has_stub: bool, now: Instant) -> World {
        let bus = Arc::new(MessageBus::new(BusConfig::new(url(RUNTIME))));
        let log = Log::default();
        // Small enough to be full now and then, by items and by bytes.
        let queues = vec![
            Arc::new(Outbox::new(5, usize::MAX)),
            Arc::new(Outbox::new(100, 900)),
            Arc::new(Outbox::new(1_000, usize::MAX)),
        ];
        if has_stub {
            let stub_url = url(&format!("{RUNTIME}/protostub/a"));
            let sink = recorder("stub", &log);
            let stub = Stub { url: stub_url, domain: "a".into(), link: LinkId(90), sink };
            bus.add_stub(Arc::new(stub)).expect("a domain");
        }
        let remote = url("hyperty-runtime://b/bob");
        let peer = Arc::new(Peer::new(remote, LinkId(8), 1, Arc::new(|| 5), Default::default()));
        let place = bus.add_place(Place::Peer(peer.clone()));
        bus.associate(place, [&url("hyperty://b/3")]);
        let direct = Arc::new(Outbox::new(20, usize::MAX));
        peer.open_direct(direct.clone(), url(&format!("{RUNTIME}/p2phandler/1/1")), now);
        World { bus, log, queues, direct, peer, keys: Vec::new(), now }
    }

    fn edit(&mut self, [act, how, at]: [usize; 3]) {
        let at = url(&address(at));
        match act % 7 {
            0..=2 => {
                let link = (how % 3 == 0).then_some(LinkId(how as u32 % 2));
                let sink = self.sink(how);
                self.keys.push(self.bus.add_listener(at, link, sink));
            }
            3 => {
                let sink = self.sink(how);
                self.keys.push(self.bus.add_exact_listener(at, sink));
            }
            4 if !self.keys.is_empty() => {
                let key = self.keys.swap_remove(how % self.keys.len());
                self.bus.remove_listener(&key);
            }
            5 => match how % 2 {
                0 => self.bus.add_publish(&at),
                _ => drop(self.bus.remove_publish(&at)),
            },
            _ => {
                let status = [Status::Live, Status::Disconnected][how % 2];
                self.peer.slot().store(1, status);
            }
        }
    }

    fn sink(&self, how: usize) -> Arc<dyn Sink> {
        match how / 2 % 6 {
            queue @ 0..QUEUES => self.queues[queue].clone(),
            3 => recorder("recorder", &self.log),
            4 => editor(&self.bus, &self.log, &self.queues[2]),
            _ => poster(&self.bus, &self.log, self.now),
        }
    }

    /// Somebody waits for the response to request `number`.
    fn expect(&self, number: usize) {
        let text = format!(
            r#"{{"id":{number},"type":"read","from":"{}","to":"comm://a/1"}}"#,
            address(number)
        );
        let log = self.log.clone();
        let reply = move |message: Message| {
            log.lock().expect("not poisoned").push(format!("reply {message:?}"));
        };
        let message = Message::parse(text.into()).expect("a message");
        let outcome = self.bus.request(message, Ingress::LOCAL, Box::new(reply), self.now);
        self.log.lock().expect("not poisoned").push(format!("{outcome:?}"));
    }

    /// All that can be seen of what happened.
    fn seen(&self) -> (Vec<String>, Vec<Vec<Delivered>>, Vec<String>) {
        let log = std::mem::take(&mut *self.log.lock().expect("not poisoned"));
        let queues = self.queues.iter().map(|queue| {
            let mut taken = Vec::new();
            queue.try_drain(&mut taken, usize::MAX);
            let delivered = |one: Delivery| (one.message.into_bytes(), one.ingress);
            taken.into_iter().map(delivered).collect()
        });
        let mut direct = Vec::new();
        self.direct.try_drain(&mut direct, usize::MAX);
        let direct = direct.iter().map(|outgoing| format!("{outgoing:?}")).collect();
        (log, queues.collect(), direct)
    }
}

type Delivered = (Bytes, Ingress);

/// What was seen before, and now.
fn add_seen(
    before: &mut (Vec<String>, Vec<Vec<Delivered>>, Vec<String>),
    now: (Vec<String>, Vec<Vec<Delivered>>, Vec<String>),
) {
    before.0.extend(now.0);
    before.1.resize(QUEUES, Vec::new());
    before.1.iter_mut().zip(now.1).for_each(|(before, now)| before.extend(now));
    before.2.extend(now.2);
}

/// How they went, as [`PostedBatch`] tells it.
fn summary(outcomes: Vec<Result<Posted, PostError>>) -> PostedBatch {
    let mut summary = PostedBatch::default();
    for (at, outcome) in outcomes.into_iter().enumerate() {
        let path = match &outcome {
            Ok(Posted { targets, refused }) if refused.is_empty() => match targets.as_slice() {
                [Ok(sent)] => Some(sent.path),
                _ => None,
            },
            _ => None,
        };
        match path {
            Some(Path::Local) => summary.local += 1,
            Some(Path::P2p) => summary.p2p += 1,
            Some(Path::MessageNode) => summary.message_node += 1,
            None => summary.others.push((at, outcome)),
        }
    }
    summary
}

fn recorder(name: &'static str, log: &Log) -> Arc<dyn Sink> {
    let log = log.clone();
    Arc::new(move |delivery: Delivery| -> Result<(), Refusal> {
        log.lock().expect("not poisoned").push(format!("{name} {:?}", delivery.message));
        Ok(())
    })
}

/// With each message it adds a listener beside others, or takes it away again.
fn editor(bus: &Arc<MessageBus>, log: &Log, queue: &Arc<Outbox<Delivery>>) -> Arc<dyn Sink> {
    let (bus, log, queue): (Weak<MessageBus>, _, _) =
        (Arc::downgrade(bus), log.clone(), queue.clone());
    let added = Mutex::new(None);
    Arc::new(move |delivery: Delivery| -> Result<(), Refusal> {
        log.lock().expect("not poisoned").push(format!("editor {:?}", delivery.message));
        let bus = bus.upgrade().expect("the bus is there");
        let mut added = added.lock().expect("not poisoned");
        match added.take() {
            Some(key) => drop(bus.remove_listener(&key)),
            None => *added = Some(bus.add_listener(url("comm://a/1/chat"), None, queue.clone())),
        }
        Ok(())
    })
}

/// With each message it posts another.
fn poster(bus: &Arc<MessageBus>, log: &Log, now: Instant) -> Arc<dyn Sink> {
    let (bus, log) = (Arc::downgrade(bus), log.clone());
    Arc::new(move |delivery: Delivery| -> Result<(), Refusal> {
        log.lock().expect("not poisoned").push(format!("poster {:?}", delivery.message));
        let text = br#"{"type":"update","from":"comm://a/poster","to":"hyperty://b/3/posted"}"#;
        // Only once: this could come back here.
        if delivery.message.from() != "comm://a/poster" {
            let bus = bus.upgrade().expect("the bus is there");
            let posted = bus.post(Bytes::from_static(text), Ingress::LOCAL, now);
            log.lock().expect("not poisoned").push(format!("{posted:?}"));
        }
        Ok(())
    })
}

/// A message of one of the kinds that posting treats differently, or none.
fn message([kind, to, more]: [usize; 3]) -> Bytes {
    let (from, to) = (address(more), address(to));
    let body = format!(r#""body":{{"text":"{}"}}"#, "x".repeat(more % 300));
    let kind_name = ["update", "update", "update", "execute"][more % 4];
    let text = match kind % 14 {
        0..=4 => format!(r#"{{"type":"{kind_name}","from":"{from}","to":"{to}",{body}}}"#),
        5 => format!(r#"{{"type":"read","id":1,"from":"{from}","to":"{to}/nobody"}}"#),
        6 => {
            let id = more % 4;
            format!(
                r#"{{"id":{id},"type":"response","from":"{from}","to":"{}","body":{{"code":200}}}}"#,
                address(id)
            )
        }
        7 => format!(r#"{{"type":"update","from":"{from}","to":["{to}","{from}","none"],{body}}}"#),
        8 => format!(
            r#"{{"type":"update","from":"{from}","to":"{}",{body}}}"#,
            to.replace('/', r"\/")
        ),
        9 => format!(r#"{{"type":"update","from":"no address","to":"{to}"}}"#),
        10 => format!(r#"{{"type":"update","from":"{from}","to":"{to}//"}}"#),
        11 => format!(r#"{{"hop":["a",1],"type":"update","from":"{from}","to":"{to}"}}"#),
        12 => {
            let via = ["via", r"v\u0069a"][more % 2];
            let stub = ["hyperty-runtime://a/alice/protostub/x", "mn://x/y"][more % 3 % 2];
            format!(
                r#"{{"type":"update","from":"{from}","to":"{to}","body":{{"{via}":"{stub}"}}}}"#
            )
        }
        _ => format!(r#"{{"type":"update","from":"{from}""#),
    };
    text.into()
}

/// Edits, and after them the messages of one batch.
type Step = (Vec<[usize; 3]>, Option<usize>, u8, Vec<[usize; 3]>);

fn numbers() -> impl Strategy<Value = [usize; 3]> {
    [0_usize..1_000, 0_usize..1_000, 0_usize..1_000]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edits = prop::collection::vec(numbers(), 0..6);
    let messages = prop::collection::vec(numbers(), 0..80);
    prop::collection::vec((edits, prop::option::of(0_usize..4), 0_u8..3, messages), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    #[test]
    fn a_batch_is_one_by_one(has_stub in any::<bool>(), steps in steps()) {
        // While it is held no number of a removed listener is given out again. Several on one URL are served
        // by their numbers, which must not depend on when another test's memory is given back.
        let _guard = crossbeam_epoch::pin();
        let now = Instant::now();
        let mut worlds = [World::new(has_stub, now), World::new(has_stub, now)];
        for (edits, request, link, messages) in steps {
            for world in &mut worlds {
                edits.iter().for_each(|edit| world.edit(*edit));
                request.into_iter().for_each(|number| world.expect(number));
            }
            let ingress = Ingress { path: Path::Local, link: LinkId(u32::from(link)) };
            let messages: Vec<_> = messages.into_iter().map(message).collect();
            let one_by_one: Vec<_> = messages
                .iter()
                .map(|bytes| worlds[0].bus.post(bytes.clone(), ingress, now))
                .collect();
            let mut batched: Vec<Result<Posted, PostError>> = Vec::new();
            worlds[1].bus.post_batch(messages, ingress, now, &mut batched);
            prop_assert_eq!(format!("{one_by_one:?}"), format!("{batched:?}"));
            prop_assert_eq!(worlds[0].seen(), worlds[1].seen());
            let counted = worlds.each_ref().map(|world| world.bus.counters().snapshot());
            prop_assert_eq!(&counted[0], &counted[1]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    #[test]
    fn a_burst_is_one_by_one_with_patience(has_stub in any::<bool>(), steps in steps()) {
        let _guard = crossbeam_epoch::pin();
        let now = Instant::now();
        let mut worlds = [World::new(has_stub, now), World::new(has_stub, now)];
        for (edits, request, link, messages) in steps {
            for world in &mut worlds {
                edits.iter().for_each(|edit| world.edit(*edit));
                request.into_iter().for_each(|number| world.expect(number));
            }
            let ingress = Ingress { path: Path::Local, link: LinkId(u32::from(link)) };
            // Several for each address, so that there is something to be taken together.
            let messages: Vec<_> = messages
                .into_iter()
                .flat_map(|numbers| vec![message(numbers); 1 + numbers[2] % 4])
                .collect();
            let (mut seen, mut outcomes) = (Default::default(), Vec::new());
            for bytes in &messages {
                let mut outcome = worlds[0].bus.post(bytes.clone(), ingress, now);
                if let Ok(posted) = &outcome
                    && let [Err(error)] = posted.targets.as_slice()
                    && error.is_full()
                    && !bytes.windows(6).any(|of| of == br#""to":["#)
                {
                    add_seen(&mut seen, worlds[0].seen());
                    outcome = worlds[0].bus.post(bytes.clone(), ingress, now);
                }
                outcomes.push(outcome);
            }
            add_seen(&mut seen, worlds[0].seen());

            let (mut seen_of_burst, mut posted) = (Default::default(), PostedBatch::default());
            let (mut burst, mut messages) = (Burst::new(ingress), messages.into_iter());
            let bus = worlds[1].bus.clone();
            while burst.fill(&bus, &mut messages) {
                loop {
                    match bus.post_burst(&mut burst, now, &mut posted) {
                        Stopped::Done => break,
                        Stopped::NoRoom => add_seen(&mut seen_of_burst, worlds[1].seen()),
                        Stopped::Several(message) => {
                            posted.add(bus.post_message(message, ingress, now));
                        }
                    }
                }
            }
            add_seen(&mut seen_of_burst, worlds[1].seen());
            prop_assert_eq!(format!("{:?}", summary(outcomes)), format!("{posted:?}"));
            prop_assert_eq!(seen, seen_of_burst);
            let counted = worlds.each_ref().map(|world| world.bus.counters().snapshot());
            prop_assert_eq!(&counted[0], &counted[1]);
        }
    }
}

/// Goal: the caller learns who was full, for each message of a batch and for each listener of one URL.
#[test]
fn who_was_full_is_said() {
    let (bus, now) = (MessageBus::new(BusConfig::new(url(RUNTIME))), Instant::now());
    let [small, large] = [2, 100].map(|items| Arc::new(Outbox::<Delivery>::new(items, 10_000)));
    bus.add_listener(url("comm://a/small"), None, small.clone());
    bus.add_listener(url("comm://a/both"), None, small);
    bus.add_listener(url("comm://a/both"), None, large.clone());
    let post = |to: &[&str]| {
        let text = |to: &&str| {
            Bytes::from(format!(r#"{{"type":"update","from":"comm://a/0","to":"{to}"}}"#))
        };
        let mut outcomes = Vec::new();
        bus.post_batch(to.iter().map(text), Ingress::LOCAL, now, &mut outcomes);
        outcomes.into_iter().map(|posted| posted.expect("a message")).collect::<Vec<_>>()
    };
    let posted = post(&["comm://a/small", "comm://a/small/x", "comm://a/small", "comm://a/both"]);
    assert!(posted[..2].iter().all(|one| one.first_error().is_none() && one.refused.is_empty()));
    let full = PostError::Refused(Refusal::Full { bound: 2 });
    assert_eq!(posted[2].first_error(), Some(&full));
    assert_eq!(posted[3].targets[0].as_ref().map(|sent| sent.receivers), Ok(1));
    for (posted, by) in posted[2..].iter().zip(["comm://a/small", "comm://a/both"]) {
        let [refused] = &posted.refused[..] else { panic!("{posted:?}") };
        assert_eq!((refused.target, refused.by.as_str()), (0, by));
        assert_eq!(refused.error, full);
    }
    assert_eq!(large.len(), 1);
    let array = br#"{"type":"update","from":"comm://a/0","to":["comm://a/both","comm://a/small"]}"#;
    let posted = bus.post(Bytes::from_static(array), Ingress::LOCAL, now).expect("a message");
    let refused: Vec<_> = posted.refused.iter().map(|one| (one.target, one.by.as_str())).collect();
    assert_eq!(refused, [(0, "comm://a/both"), (1, "comm://a/small")]);
}

/// A burst waits for what its peer holds already, but not for ever: others may keep it so.
#[test]
fn a_burst_takes_its_turn_beside_others() {
    const ROOM: usize = 8;
    let (ours, theirs) = (RUNTIME, "hyperty-runtime://b/bob");
    let (now, to) = (Instant::now(), "hyperty://b/bob");
    let agreed = Agreed::new(ours, theirs, ROOM, now);
    let bus = agreed.bus(&[Url::parse(to).expect("a URL")], true);
    let message = || {
        let text = format!(r#"{{"type":"update","from":"hyperty://a/alice","to":"{to}"}}"#);
        Bytes::from(text)
    };
    while !agreed.ours.peer.has_backlog() {
        bus.post(message(), Ingress::LOCAL, now).expect("a message");
    }
    let (mut burst, mut posted) = (Burst::new(Ingress::LOCAL), PostedBatch::default());
    assert!(burst.fill(&bus, &mut [message(), message()].into_iter()));
    for _ in 0..POST_BURST_WAITS_MAX {
        let stopped = bus.post_burst(&mut burst, now, &mut posted);
        assert!(matches!(stopped, Stopped::NoRoom), "{stopped:?}");
        burst.has_waited();
    }
    let stopped = bus.post_burst(&mut burst, now, &mut posted);
    assert!(matches!(stopped, Stopped::Done), "{stopped:?}");
    assert!(agreed.ours.peer.has_backlog());
    // The next one waits again.
    assert!(burst.fill(&bus, &mut [message()].into_iter()));
    assert!(matches!(bus.post_burst(&mut burst, now, &mut posted), Stopped::NoRoom));
}
