//! The buses against a naive one, sentence by sentence of the design, and requests on a virtual clock.
//!
//! Goal: a message reaches exactly the sinks that the routing rules name, once each, unchanged; whatever is
//! not taken is said. Method: the fuzz target's body on random steps and on its corpus, then one test for
//! each sentence that the naive bus does not know. Peers are the hand-over's tests' matter.

#[path = "../fuzz/bodies/bus.rs"]
mod fuzz_body;
#[path = "support/naive_bus.rs"]
mod naive_bus;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hyperty_router::{
    address::{Address, Url},
    bus::{BusConfig, Drop, Incoming, MessageBus, MiniBus, Note, P2pPolicy, PostError, Posted},
    handover::Peer,
    limits::{INBOX_BYTES_MAX, INBOX_NOTES_MAX, REQUEST_TIMEOUT, TO_URLS_MAX},
    link::{Delivery, DirectSink, Ingress, LinkId, Outbox, Outgoing, Path, Refusal, Sink, Stub},
    message::{Message, To, response_code},
    registry::{Place, Unreachable},
    status::Status,
};
use proptest::prelude::*;

const RUNTIME: &str = "hyperty-runtime://a/alice";
const STUB: LinkId = LinkId(90);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 }))]

    #[test]
    fn agrees_with_the_naive_bus(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz_body::run(&data);
    }
}

/// Each file of the fuzz corpus, as the fuzzer would run it.
#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn the_fuzz_corpus_is_replayed() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/bus");
    let files = std::fs::read_dir(corpus).expect("the corpus is part of the project");
    let inputs = files.map(|file| std::fs::read(file.expect("it is listed").path()));
    let count = inputs.inspect(|input| fuzz_body::run(input.as_ref().expect("it is read"))).count();
    assert!(count >= 8, "only {count} files");
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a test's URL is right")
}

fn message(kind: &str, from: &str, to: &str) -> Message {
    let text =
        format!(r#"{{"id":7,"type":"{kind}","from":"{from}","to":"{to}","body":{{"x":1}}}}"#);
    Message::parse(text.into()).expect("a test's message is right")
}

fn queue() -> Arc<Outbox<Delivery>> {
    Arc::new(Outbox::new(64, 1 << 20))
}

fn taken(queue: &Outbox<Delivery>) -> Vec<Message> {
    let mut deliveries = Vec::new();
    queue.try_drain(&mut deliveries, usize::MAX);
    deliveries.into_iter().map(|delivery| delivery.message).collect()
}

fn bus() -> MessageBus {
    MessageBus::new(BusConfig::new(url(RUNTIME)))
}

/// The stub of a Message Node, as a queue.
fn add_stub(bus: &MessageBus, domain: &str) -> Arc<Outbox<Delivery>> {
    let sink = queue();
    let stub_url = url(&format!("{RUNTIME}/protostub/{domain}"));
    let stub = Stub { url: stub_url, domain: domain.into(), link: STUB, sink: sink.clone() };
    bus.add_stub(Arc::new(stub)).expect("a domain");
    sink
}

fn post(bus: &MessageBus, message: Message) -> Result<Posted, PostError> {
    bus.post_message(message, Ingress::LOCAL, Instant::now())
}

#[test]
fn one_bus_listener_gets_the_very_bytes() {
    let (bus, sink) = (bus(), queue());
    bus.add_listener(url("hyperty://a/1"), None, sink.clone());
    let sent = message("update", "hyperty://a/2", "hyperty://a/1/below");
    let start = sent.bytes().as_ptr();
    post(&bus, sent).expect("taken");
    assert_eq!(taken(&sink)[0].bytes().as_ptr(), start, "shared, not copied");
}

#[test]
fn our_own_runtime_without_a_listener_answers_404_to_requests_only() {
    let (bus, sender) = (bus(), queue());
    let node = add_stub(&bus, "a");
    bus.add_listener(url("hyperty://a/me"), None, sender.clone());
    let requests = ["create", "read", "delete", "subscribe", "unsubscribe", "execute"];
    for kind in requests.into_iter().chain(["update", "response", "forward"]) {
        let to = format!("{RUNTIME}/nobody");
        let posted = post(&bus, message(kind, "hyperty://a/me", &to)).expect("a message");
        let nobody = PostError::Unreachable(Unreachable::NoListener);
        assert_eq!(posted.first_error(), Some(&nobody));
        let answers = taken(&sender);
        assert_eq!(answers.len(), usize::from(requests.contains(&kind)), "{kind}");
        for answer in answers {
            assert_eq!((response_code(&answer), answer.id()), (Some(404), Some("7")));
            assert_eq!(answer.from(), to);
        }
    }
    assert_eq!(bus.counters().drops(Drop::Unreachable), 9);
    assert!(node.is_empty());
}

#[test]
fn an_array_to_is_one_copy_for_each_url() {
    let (bus, one, two) = (bus(), queue(), queue());
    bus.add_listener(url("hyperty://a/1"), None, one.clone());
    bus.add_listener(url("hyperty://a/2"), None, two.clone());
    let array = |to: &str| {
        let text = format!(r#"{{"to":{to},"from":"hyperty://a/0","type":"update"}}"#);
        post(&bus, Message::parse(text.into()).expect("a message"))
    };
    let posted =
        array(r#"["hyperty://a/1", "nothing", "hyperty://a/2", "hyperty://b/3"]"#).unwrap();
    let codes: Vec<_> =
        posted.targets.iter().map(|t| t.as_ref().err().map(PostError::code)).collect();
    assert_eq!(codes, [None, Some(400), None, Some(404)]);
    for (queue, to) in [(one, "hyperty://a/1"), (two, "hyperty://a/2")] {
        let copies = taken(&queue);
        assert_eq!(copies.len(), 1);
        assert_eq!(copies[0].to(), To::One(to.into()));
    }
    assert_eq!(array("[]").unwrap_err(), PostError::NoTarget);
    let urls = TO_URLS_MAX + 1;
    let too_many = format!("[{}]", vec![r#""hyperty://a/1""#; urls].join(","));
    let refused = PostError::TooManyTargets { urls, urls_max: TO_URLS_MAX };
    assert_eq!(array(&too_many).unwrap_err(), refused);
}

#[test]
fn a_message_that_came_by_our_own_stub_goes_round_no_more() {
    let (bus, sink) = (bus(), queue());
    bus.add_listener(url("hyperty://a/1"), None, sink.clone());
    let with_via = |via: &str| {
        let head = r#"{"type":"update","from":"hyperty://b/1","to":"hyperty://a/1","body":{"#;
        Message::parse(format!(r#"{head}{via}}}}}"#).into()).expect("a message")
    };
    for via in ["protostub/a", "p2phandler/1", "p2prequester/2/7"] {
        let plain = with_via(&format!(r#""via":"{RUNTIME}/{via}""#));
        let escaped = with_via(&format!(r#""v\u0069a":"{RUNTIME}/{via}""#));
        for message in [plain, escaped] {
            assert_eq!(post(&bus, message.clone()).unwrap_err(), PostError::OwnVia);
            let ingress = Ingress { path: Path::MessageNode, link: STUB };
            let delivery = Delivery { message, ingress, hop: None };
            assert_eq!(bus.deliver(delivery, Instant::now()), Ok(Incoming::Dropped(Drop::OwnVia)));
        }
    }
    assert_eq!(bus.counters().drops(Drop::OwnVia), 12);
    let others = with_via(r#""via":"hyperty-runtime://b/bob/protostub/b","n":{"via":"x"}"#);
    assert!(post(&bus, others.clone()).is_ok());
    assert_eq!(taken(&sink)[0].bytes(), others.bytes(), "another's `via` is left as it is");
}

#[test]
fn a_full_listener_is_refused_with_its_bound_and_the_others_still_get_it() {
    let (bus, small) = (bus(), Arc::new(Outbox::<Delivery>::new(1, 1 << 20)));
    bus.add_listener(url("hyperty://a/1"), None, small.clone());
    let sent = message("update", "hyperty://a/2", "hyperty://a/1");
    assert!(post(&bus, sent.clone()).unwrap().first_error().is_none());
    let posted = post(&bus, sent.clone()).unwrap();
    let error = posted.first_error().expect("it was full");
    assert_eq!(*error, PostError::Refused(Refusal::Full { bound: 1 }));
    assert_eq!((error.code(), error.is_full()), (503, true));
    assert_eq!(error.to_string(), "queue full at its bound of 1");
    let other = queue();
    bus.add_listener(url("hyperty://a/1"), None, other.clone());
    let posted = post(&bus, sent).unwrap();
    assert_eq!(posted.targets[0].as_ref().map(|sent| sent.receivers), Ok(1));
    assert_eq!((taken(&other).len(), bus.counters().drops(Drop::Full)), (1, 2));
}

#[test]
fn what_routes_cannot_read_is_refused_before_anything_is_sent() {
    let (bus, sink) = (bus(), queue());
    bus.add_listener(url("hyperty://a/1"), None, sink.clone());
    let code = |text: &str| {
        let posted = bus.post(text.to_owned().into(), Ingress::LOCAL, Instant::now());
        posted.expect_err(text).code()
    };
    assert_eq!(code("{"), 400);
    assert_eq!(code(r#"{"type":"read","from":"nobody","to":"hyperty://a/1"}"#), 400);
    assert_eq!(code(r#"{"type":"read","from":"hyperty://a/2","to":"nobody"}"#), 400);
    let hop = r#"{"hop":["00000000000000000000000000000000",1],"type":"read","from":"a://b/c","to":"hyperty://a/1"}"#;
    assert_eq!(code(hop), 400);
    assert!(sink.is_empty());
}

/// What a reply was called with, in order.
type Replies = Arc<Mutex<Vec<(u16, String)>>>;

fn ask(bus: &MessageBus, text: &str, replies: &Replies, now: Instant) -> Result<Posted, PostError> {
    let (replies, request) = (replies.clone(), Message::parse(text.to_owned().into()).unwrap());
    let reply = move |response: Message| {
        let code = response_code(&response).unwrap_or(0);
        replies.lock().unwrap().push((code, response.id().unwrap_or("none").to_owned()));
    };
    bus.request(request, Ingress::LOCAL, Box::new(reply), now)
}

fn answer(bus: &MessageBus, id: &str, to: &str, code: &str, now: Instant) {
    let from = "hyperty://b/far";
    let text = format!(
        r#"{{"id":{id},"type":"response","from":"{from}","to":"{to}","body":{{"code":{code}}}}}"#
    );
    let message = Message::parse(text.into()).unwrap();
    let ingress = Ingress { path: Path::MessageNode, link: STUB };
    bus.deliver(Delivery { message, ingress, hop: None }, now).expect("no listener is full");
}

fn request_text(id: &str, from: &str) -> String {
    format!(r#"{{{id}"type":"read","from":"{from}","to":"hyperty://b/far"}}"#)
}

#[test]
fn a_request_is_answered_by_from_and_id_as_they_came() {
    let (bus, replies, now) = (bus(), Replies::default(), Instant::now());
    add_stub(&bus, "a");
    for (id, from) in [("7", "hyperty://a/1"), ("\"7\"", "hyperty://a/1"), ("7", "hyperty://a/2/")]
    {
        ask(&bus, &request_text(&format!(r#""id":{id},"#), from), &replies, now).expect("sent");
    }
    answer(&bus, "8", "hyperty://a/1", "200", now);
    answer(&bus, "7", "hyperty://a/3", "200", now);
    assert!(replies.lock().unwrap().is_empty());
    answer(&bus, "\"7\"", "hyperty://a/1", "\"200\"", now);
    answer(&bus, "7", "hyperty://a/2/", "403", now);
    answer(&bus, "7", "hyperty://a/1", "\"2XX\"", now);
    answer(&bus, "7", "hyperty://a/1", "200", now);
    let expected = [(200, "\"7\"".to_owned()), (403, "7".to_owned()), (200, "7".to_owned())];
    assert_eq!(*replies.lock().unwrap(), expected, "each once");
    assert_eq!(bus.poll_timeout(), None);
}

#[test]
fn a_request_without_an_answer_gets_408_after_15_s_and_a_provisional_code_restarts_the_clock() {
    let (bus, replies, start) = (bus(), Replies::default(), Instant::now());
    add_stub(&bus, "a");
    let at = |seconds| start + Duration::from_secs(seconds);
    ask(&bus, &request_text(r#""id":1,"#, "hyperty://a/1"), &replies, start).expect("sent");
    assert_eq!(bus.poll_timeout(), Some(start + REQUEST_TIMEOUT));
    answer(&bus, "1", "hyperty://a/1", "100", at(10));
    assert_eq!(bus.poll_timeout(), Some(at(25)));
    bus.handle_timeout(at(25) - Duration::from_nanos(1));
    assert!(replies.lock().unwrap().is_empty());
    bus.handle_timeout(at(25));
    assert_eq!(*replies.lock().unwrap(), [(408, "1".to_owned())]);
    answer(&bus, "1", "hyperty://a/1", "200", at(26));
    assert_eq!((replies.lock().unwrap().len(), bus.poll_timeout()), (1, None));
}

#[test]
fn a_request_without_an_id_gets_one_of_its_own() {
    let (bus, replies, now) = (bus(), Replies::default(), Instant::now());
    let node = add_stub(&bus, "a");
    for _ in 0..2 {
        ask(&bus, &request_text("", "hyperty://a/1"), &replies, now).expect("sent");
    }
    let sent = taken(&node);
    let [first, second] = [0, 1].map(|at: usize| sent[at].id().expect("it got one").to_owned());
    assert_ne!(first, second);
    answer(&bus, &second, "hyperty://a/1", "200", now);
    assert_eq!(*replies.lock().unwrap(), [(200, second)]);
}

#[test]
fn a_request_that_nobody_can_take_is_told_once() {
    let (bus, replies, now) = (bus(), Replies::default(), Instant::now());
    // The 404 is the response, so the request has been answered.
    let posted = ask(&bus, &request_text(r#""id":1,"#, "hyperty://a/1"), &replies, now).unwrap();
    assert_eq!(posted.first_error().map(PostError::code), Some(404));
    assert_eq!(*replies.lock().unwrap(), [(404, "1".to_owned())]);
    // What is refused is said in the return value alone.
    bus.add_listener(url("hyperty://b"), None, Arc::new(Outbox::<Delivery>::new(0, 0)));
    let full = ask(&bus, &request_text(r#""id":2,"#, "hyperty://a/1"), &replies, now);
    assert_eq!(full.unwrap_err(), PostError::Refused(Refusal::Full { bound: 0 }));
    assert_eq!((replies.lock().unwrap().len(), bus.poll_timeout()), (1, None));
}

#[test]
fn the_same_request_again_ends_the_one_before() {
    let (bus, replies, now) = (bus(), Replies::default(), Instant::now());
    add_stub(&bus, "a");
    for _ in 0..2 {
        ask(&bus, &request_text(r#""id":1,"#, "hyperty://a/1"), &replies, now).expect("sent");
    }
    assert_eq!(*replies.lock().unwrap(), [(408, "1".to_owned())]);
    answer(&bus, "1", "hyperty://a/1", "200", now);
    assert_eq!(replies.lock().unwrap().len(), 2);
}

#[test]
fn a_plain_post_keeps_no_pending_state() {
    let bus = bus();
    let node = add_stub(&bus, "a");
    post(&bus, message("read", "hyperty://a/1", "hyperty://b/far")).expect("sent");
    assert_eq!((node.len(), bus.poll_timeout()), (1, None));
}

#[test]
fn each_domain_has_its_stub_and_one_without_goes_to_ours() {
    let bus = bus();
    let (ours, theirs) = (add_stub(&bus, "a"), add_stub(&bus, "b"));
    let cases = [
        ("hyperty://b/1", false),
        ("domain://registry.b/x", false),
        ("domain://msg-node.b/sm", false),
        ("hyperty://c/1", true),
        ("global://registry/x", true),
    ];
    for (to, is_ours) in cases {
        let report = bus.explain(&Address::parse(to).unwrap());
        assert_eq!(report.decision, "message-node", "{to}");
        post(&bus, message("update", "hyperty://a/1", to)).expect("sent");
        assert_eq!(
            (ours.len(), theirs.len()),
            (usize::from(is_ours), usize::from(!is_ours)),
            "{to}"
        );
        taken(&ours);
        taken(&theirs);
    }
}

#[test]
fn an_address_follows_its_peer_at_one_store_and_signalling_never_does() {
    let bus = bus();
    let node = add_stub(&bus, "a");
    let random = Arc::new(|| 5_u128);
    let remote = url("hyperty-runtime://b/bob");
    let peer = Arc::new(Peer::new(remote.clone(), LinkId(3), 1, random, Default::default()));
    let place = bus.add_place(Place::Peer(peer.clone()));
    let hyperties: Vec<_> = (0..100).map(|n| url(&format!("hyperty://b/{n}"))).collect();
    bus.associate(place, hyperties.iter().chain([&remote]));
    let direct = Arc::new(Outbox::<Outgoing>::new(1_000, 1 << 20));
    let (sink, now): (Arc<dyn DirectSink>, _) = (direct.clone(), Instant::now());
    for (generation, live) in [(1, true), (1, false), (2, true)] {
        match live {
            true => {
                peer.open_direct(sink.clone(), url("hyperty-runtime://a/alice/p2phandler/1/1"), now)
            }
            false => peer.close_direct(now),
        }
        let status = if live { Status::Live } else { Status::Disconnected };
        peer.slot().store(generation, status);
        for hyperty in &hyperties {
            let expected = if live { "p2p" } else { "message-node" };
            assert_eq!(bus.explain(&hyperty.address()).decision, expected);
        }
        for signalling in ["p2phandler/1", "p2prequester/1/status"] {
            let to = url(&format!("hyperty-runtime://b/bob/{signalling}"));
            assert_eq!(bus.explain(&to.address()).decision, "message-node");
        }
    }
    bus.dissociate(place, &hyperties);
    assert_eq!(bus.explain(&hyperties[0].address()).decision, "message-node");
    assert!(node.is_empty() && direct.is_empty(), "explaining sends nothing");
}

#[test]
fn an_unknown_address_is_told_to_the_control_plane_as_the_policy_says() {
    let cases = [
        (P2pPolicy::Automatic, [true, true]),
        (P2pPolicy::Asked, [false, true]),
        (P2pPolicy::Off, [false, false]),
    ];
    for (policy, told) in cases {
        let inbox = Arc::new(Outbox::<Note>::new(INBOX_NOTES_MAX, INBOX_BYTES_MAX));
        let config =
            BusConfig { policy, inbox: Some(inbox.clone()), ..BusConfig::new(url(RUNTIME)) };
        let bus = MessageBus::new(config);
        let node = add_stub(&bus, "a");
        for (body, told) in ["{}", r#"{"p2p":true}"#].into_iter().zip(told) {
            let head = r#"{"type":"update","from":"hyperty://a/1","to":"hyperty://b/1","body":"#;
            post(&bus, Message::parse(format!("{head}{body}}}").into()).unwrap()).expect("sent");
            let mut notes = Vec::new();
            inbox.try_drain(&mut notes, 9);
            assert_eq!(notes.len(), usize::from(told), "{policy:?} {body}");
        }
        assert_eq!(node.len(), 2, "the message is never held back");
    }
}

#[test]
fn a_mini_buses_default_gets_only_what_nothing_else_matched() {
    let (mini, default) = (MiniBus::new(), queue());
    let (first, second, exact) = (queue(), queue(), queue());
    let key = mini.add_listener(url("hyperty://a/1"), Some(LinkId(4)), first.clone());
    mini.add_listener(url("hyperty://a/1"), None, second.clone());
    mini.add_exact_listener(url("hyperty://a/1/x"), exact.clone());
    let deliver = |to: &str, link: u32| {
        let ingress = Ingress { path: Path::Local, link: LinkId(link) };
        let message = message("update", "hyperty://a/0", to);
        mini.deliver(&url(to).address(), Delivery { message, ingress, hop: None })
    };
    let counts = || [&first, &second, &exact, &default].map(|queue| taken(queue).len());
    assert_eq!(deliver("hyperty://a/2", 0), Err(Refusal::Closed), "no `*` yet");
    mini.set_default_listener(Some(default.clone() as Arc<dyn Sink>));
    let cases = [
        ("hyperty://a/1", 0, [1, 1, 0, 0]),
        ("hyperty://a/1", 4, [0, 1, 0, 0]),
        ("hyperty://a/1/x", 0, [0, 0, 1, 0]),
        ("hyperty://a/1/x/y", 0, [1, 1, 0, 0]),
        ("hyperty://a/12", 0, [0, 0, 0, 1]),
        ("hyperty://b/1", 0, [0, 0, 0, 1]),
    ];
    for (to, link, expected) in cases {
        assert_eq!(deliver(to, link), Ok(()));
        assert_eq!(counts(), expected, "{to} from {link}");
    }
    assert!(mini.remove_listener(&key) && !mini.remove_listener(&key));
    assert_eq!(deliver("hyperty://a/1", 0), Ok(()));
    assert_eq!(counts(), [0, 1, 0, 0]);
    mini.set_default_listener(None);
    assert_eq!(deliver("hyperty://b/1", 0), Err(Refusal::Closed));
}
