//! The traced runtime and what is played around it: Message Node stubs, P2P stubs, listeners.

use std::{
    collections::HashSet,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyperty_router::{
    address::{Address, Url},
    bus::{MessageBus, PostError, TargetReport},
    handover, limits,
    link::{Delivery, Ingress, Refusal},
    message::{Message, ParseError, ParseErrorKind, ParseLimits, To},
    ua::{RuntimeUa, Stubs, UaConfig},
};
use parking_lot::Mutex;

use super::lines::{Line, Text};

/// The runtime, and the Message Nodes that it has a stub for.
pub(super) struct World {
    ua: RuntimeUa,
    limits: ParseLimits,
    domains: HashSet<Box<str>>,
    emitted: Arc<Mutex<Vec<Bytes>>>,
    now: Instant,
}

/// What became of one line.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The decision for each URL of `to`, from before the line took effect; none if it was no message or
    /// refused as a whole.
    pub(super) targets: Vec<TargetReport>,
    /// What the runtime wrote because of it, in order.
    pub(super) emitted: Vec<Bytes>,
    /// The first thing that went wrong.
    pub(super) error: Option<PostError>,
}

/// Virtual time from line to line: so little that nothing the runtime waits for comes to its end.
const STEP: Duration = Duration::from_micros(1);

impl World {
    /// A runtime at `runtime` where `listen` live and listen.
    ///
    /// # Errors
    /// If no runtime can be at `runtime`, or nothing can listen at one of `listen`.
    pub(super) fn new(runtime: Url, listen: Vec<Url>) -> Result<Self, Box<dyn Error>> {
        let emitted = Arc::new(Mutex::new(Vec::new()));
        let tap = emitted.clone();
        let tap = move |delivery: Delivery| {
            tap.lock().push(delivery.message.into_bytes());
            Ok(())
        };
        let named = |error| format!("--runtime {runtime}: {error}");
        let config = UaConfig::new(runtime.clone(), Arc::new(numbers())).map_err(named)?;
        let config = UaConfig {
            stubs: Stubs::Played,
            hand_over: handover::Config { dwell: Duration::ZERO, ..Default::default() },
            tap: Some(Arc::new(tap)),
            ..config
        };
        let limits = config.limits.clone();
        let domain: Box<str> = runtime.address().domain().into();
        let ua = RuntimeUa::new(config);
        let now = Instant::now();
        let mut world = World { ua, limits, domains: HashSet::new(), emitted, now };
        world.add_node(&domain);
        for url in listen {
            world.listen(url)?;
        }
        Ok(world)
    }

    /// Hands one line to the MessageBus and lets the runtime do everything that follows from it.
    pub(super) fn take(&mut self, line: Line) -> Outcome {
        let taken = self.message(line.text).and_then(|message| self.post(message));
        self.now += STEP;
        let (targets, error) = match taken {
            Ok((targets, error)) => (targets, error),
            Err(error) => (Vec::new(), Some(error)),
        };
        Outcome { targets, emitted: std::mem::take(&mut self.emitted.lock()), error }
    }

    fn message(&self, text: Text) -> Result<Message, PostError> {
        match text {
            Text::Whole(text) => Ok(Message::parse_with(text, &self.limits)?),
            Text::TooLong { bytes } => {
                let bytes_max = self.limits.bytes_max;
                let kind = ParseErrorKind::TooLong { bytes, bytes_max };
                Err(PostError::NotAMessage(ParseError { kind, offset: bytes_max }))
            }
        }
    }

    fn post(
        &mut self,
        message: Message,
    ) -> Result<(Vec<TargetReport>, Option<PostError>), PostError> {
        self.add_nodes_for(&message);
        let ingress = match Address::parse(&message.from()) {
            Ok(from) => self.ua.ingress_of(&from),
            Err(_) => Ingress::LOCAL,
        };
        let targets = explain(self.ua.bus(), &message, ingress);
        let posted = self.ua.bus().post_message(message, ingress, self.now);
        while self.ua.is_busy() {
            self.ua.handle_notes(self.now);
        }
        // Dial, Close and the like: nobody is there to do it.
        while self.ua.poll_output().is_some() {}
        posted.map(|posted| (targets, posted.first_error().cloned()))
    }

    /// A listener that takes everything; what is not a part of the runtime itself is a Hyperty or data
    /// object.
    fn listen(&mut self, url: Url) -> Result<(), Box<dyn Error>> {
        if url.address().is_bare() {
            return Err(format!("--listen {url}: nothing behind the domain to listen on").into());
        }
        let sink = Arc::new(|_: Delivery| Ok::<(), Refusal>(()));
        self.ua.bus().add_listener(url.clone(), None, sink);
        if !self.ua.bus().own().is_ours(&url.address()) {
            self.ua.add_resource(url, self.now);
        }
        Ok(())
    }

    /// A stub for the domain of whatever the message may make the runtime write to.
    fn add_nodes_for(&mut self, message: &Message) {
        let mut urls = match message.to() {
            To::One(to) => vec![to],
            To::Many(urls) => urls,
        };
        urls.push(message.from());
        let named = ["resource", "p2pHandler", "p2pRequester"];
        urls.extend(named.iter().filter_map(|member| message.body_text(&[member])));
        for url in urls {
            if let Ok(address) = Address::parse(&url) {
                self.add_node(address.domain());
            }
        }
    }

    /// A stub for the Message Node of `domain`; beyond the bound, and for a domain that fits no stub's URL,
    /// our own domain's stands in, as for a domain without one.
    fn add_node(&mut self, domain: &str) {
        let fits = self.ua.bus().own().runtime.join(&format!("protostub/{domain}")).is_ok();
        let room = self.domains.len() < limits::TRACE_DOMAINS_MAX;
        if fits && room && self.domains.insert(domain.into()) {
            self.ua.add_node(domain, Arc::new(|_: Delivery| Ok::<(), Refusal>(())));
        }
    }
}

/// One report for each URL of `to`, as it is written there.
fn explain(bus: &MessageBus, message: &Message, ingress: Ingress) -> Vec<TargetReport> {
    let urls = match message.to() {
        To::One(to) => vec![to],
        To::Many(urls) => urls,
    };
    let report = |to: &str| {
        let known = Address::parse(to).ok().map(|address| bus.explain_from(&address, ingress));
        let (decision, via, listeners) = match known {
            Some(report) => (report.decision, report.via, report.listeners),
            None => ("unreachable", None, Vec::new()),
        };
        TargetReport { to: to.to_owned(), decision, via, listeners }
    };
    urls.iter().take(limits::TO_URLS_MAX).map(|to| report(to)).collect()
}

/// "Random" numbers that are the same in every run.
fn numbers() -> impl Fn() -> u128 + Send + Sync {
    let next = AtomicU64::new(1);
    move || u128::from(next.fetch_add(1, Ordering::Relaxed)) << 64 | 1
}
