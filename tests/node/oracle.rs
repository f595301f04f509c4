//! Ownership and routing held against sets and loops.
//!
//! Goal: whatever sequence of sessions, subscriptions and registrations came before, each request
//! gets the code and each message the receivers that the design's two rules give. Method: random
//! sequences over few addresses that lie within each other, played to the node and to lists that
//! are searched from end to end.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Client, Net, message, session, sm};

const CLIENTS: usize = 3;
const ADDRESSES: [&str; 11] = [
    "hyperty-runtime://a.com/0",
    "hyperty-runtime://a.com/1",
    "hyperty-runtime://a.com/1/ua",
    "hyperty-runtime://a.com/2",
    "hyperty-runtime://a.com/p2phandler/1",
    "hyperty://a.com/x",
    "hyperty://a.com/x/y",
    "hyperty://a.com/x/y/z",
    "hyperty://a.com/xy",
    "hyperty://a.com/x/changes",
    "hyperty-runtime://a.com/1/children/c",
];

/// What one client does next; numbers choose an address.
#[derive(Clone, Debug)]
enum Step {
    Open,
    Close,
    Subscribe { from: usize, url: usize, source: Option<usize> },
    Unsubscribe { url: usize },
    Register { url: usize },
    Delete { url: usize },
    Send { from: usize, to: usize },
}

/// The two rules, by searching lists.
#[derive(Default)]
struct Oracle {
    /// Who has a session.
    open: BTreeSet<usize>,
    /// Who owns what, and why (`true`: it is the runtimeURL); of two on one address the later has
    /// the route.
    owned: Vec<(usize, &'static str, BTreeSet<bool>)>,
    /// Who subscribed to what, as whom.
    subscribed: BTreeSet<(usize, &'static str, Option<&'static str>)>,
}

fn covers(prefix: &str, address: &str) -> bool {
    address == prefix || address.starts_with(&format!("{prefix}/"))
}

fn is_topic(address: &str) -> bool {
    address.ends_with("/changes") || address.contains("/children/")
}

impl Oracle {
    fn owner(&self, address: &str) -> Option<usize> {
        let owned = self.owned.iter().filter(|(_, url, _)| covers(url, address));
        owned.max_by_key(|(_, url, _)| url.len()).map(|(who, ..)| *who)
    }

    fn claims(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let both = |(who, url, source): &(usize, &'static str, Option<&'static str>)| {
            [Some((*who, *url)), source.map(|source| (*who, source))]
        };
        self.subscribed.iter().flat_map(both).flatten().filter(|(_, url)| !is_topic(url))
    }

    /// "Within what *another* session owns or claims", a claim being of what is unowned.
    fn is_held(&self, who: usize, address: &str) -> bool {
        if let Some(owner) = self.owner(address) {
            return owner != who;
        }
        let claims: Vec<_> = self.claims().filter(|(_, url)| covers(url, address)).collect();
        let longest = claims.iter().map(|(_, url)| url.len()).max();
        let mut holders = claims.iter().filter(|(_, url)| Some(url.len()) == longest);
        longest.is_some() && holders.all(|(by, _)| *by != who)
    }

    fn own(&mut self, who: usize, url: &'static str, is_runtime: bool) {
        match self.owned.iter_mut().find(|(by, of, _)| (*by, *of) == (who, url)) {
            Some((.., reasons)) => {
                reasons.insert(is_runtime);
            }
            None => self.owned.push((who, url, BTreeSet::from([is_runtime]))),
        }
    }

    fn open(&mut self, who: usize) {
        self.subscribed.retain(|(by, ..)| *by != who);
        // What others subscribed there while nobody owned it would take the owner's messages away.
        let others = std::mem::take(&mut self.subscribed);
        let stays = |(by, url, _): &(usize, &'static str, _)| {
            !covers(runtime(who), url) || is_topic(url) || self.owner(url) == Some(*by)
        };
        self.subscribed = others.into_iter().filter(stays).collect();
        self.open.insert(who);
        self.own(who, runtime(who), true);
    }

    fn close(&mut self, who: usize) {
        self.open.remove(&who);
        self.subscribed.retain(|(by, ..)| *by != who);
        self.owned.retain(|(by, ..)| *by != who);
    }

    fn subscribe(
        &mut self,
        who: usize,
        from: &str,
        url: &'static str,
        source: Option<&'static str>,
    ) -> u64 {
        let named = source.is_some_and(|source| self.is_held(who, source));
        let held = !is_topic(url) && self.is_held(who, url);
        if self.is_held(who, from) || named || held {
            return 403;
        }
        self.subscribed.insert((who, url, source));
        200
    }

    fn register(&mut self, who: usize, url: &'static str) -> u64 {
        let owned = self.owned.iter().map(|(by, of, _)| (*by, *of));
        let overlays =
            owned.chain(self.claims()).any(|(by, of)| by != who && of != url && covers(url, of));
        if self.is_held(who, url) || overlays {
            return 403;
        }
        self.own(who, url, false);
        200
    }

    fn delete(&mut self, who: usize, url: &str, is_there: bool) -> u64 {
        if self.is_held(who, url) {
            return 403;
        }
        for (_, _, reasons) in self.owned.iter_mut().filter(|(by, of, _)| (*by, *of) == (who, url))
        {
            reasons.remove(&false);
        }
        self.owned.retain(|(.., reasons)| !reasons.is_empty());
        if is_there { 200 } else { 404 }
    }

    /// "A message goes to every subscription that covers `to`; if there is none, to the route with
    /// the longest prefix. Each sink gets it once, the link it came from never."
    fn receivers(&self, who: usize, from: &str, to: &str) -> Result<BTreeSet<usize>, u64> {
        if self.is_held(who, from) {
            return Err(403);
        }
        let mut receivers: BTreeSet<_> = self
            .subscribed
            .iter()
            .filter(|(_, url, _)| covers(url, to))
            .map(|(by, ..)| *by)
            .collect();
        if receivers.is_empty() {
            receivers.extend(self.owner(to));
        }
        receivers.remove(&who);
        if receivers.is_empty() { Err(404) } else { Ok(receivers) }
    }
}

fn runtime(who: usize) -> &'static str {
    ["hyperty-runtime://a.com/0", "hyperty-runtime://a.com/1", "hyperty-runtime://a.com/2"][who]
}

fn code(reply: &Value) -> u64 {
    reply["body"]["code"].as_u64().unwrap()
}

/// Plays one step to both and compares.
fn play(
    net: &Net,
    clients: &mut [Client],
    oracle: &mut Oracle,
    entries: &mut BTreeSet<&'static str>,
    who: usize,
    step: &Step,
) -> Result<(), TestCaseError> {
    let registry = "domain://registry.a.com";
    if matches!(step, Step::Open) {
        clients[who] = net.client(&who.to_string());
        oracle.open(who);
        return Ok(());
    }
    if !oracle.open.contains(&who) {
        return Ok(());
    }
    let client = &clients[who];
    let ask = |message| code(&net.ask(client, message));
    match *step {
        Step::Open => unreachable!(),
        Step::Close => {
            let _ = net.frame(client, session(1, "close", &client.url).to_string());
            oracle.close(who);
        }
        Step::Subscribe { from, url, source } => {
            let (from, url) = (ADDRESSES[from], ADDRESSES[url]);
            let source = source.map(|source| ADDRESSES[source]);
            let mut body = json!({ "subscribe": [url] });
            if let Some(source) = source {
                body["source"] = json!(source);
            }
            let got = ask(sm(2, "subscribe", from, body));
            prop_assert_eq!(got, oracle.subscribe(who, from, url, source));
        }
        Step::Unsubscribe { url } => {
            let body = json!({ "unsubscribe": [ADDRESSES[url]] });
            prop_assert_eq!(ask(sm(3, "unsubscribe", &client.url, body)), 200);
            oracle.subscribed.retain(|(by, of, _)| (*by, *of) != (who, ADDRESSES[url]));
        }
        Step::Register { url } => {
            let url = ADDRESSES[url];
            let body = json!({ "value": { "url": url } });
            let got = ask(message(4, "create", &client.url, registry, body));
            prop_assert_eq!(got, oracle.register(who, url));
            if got == 200 {
                entries.insert(url);
            }
        }
        Step::Delete { url } => {
            let url = ADDRESSES[url];
            let body = json!({ "resource": url });
            let got = ask(message(5, "delete", &client.url, registry, body));
            prop_assert_eq!(got, oracle.delete(who, url, entries.contains(url)));
            if got == 200 {
                entries.remove(url);
            }
        }
        Step::Send { from, to } => {
            let (from, to) = (ADDRESSES[from], ADDRESSES[to]);
            net.send(client, message(6, "execute", from, to, json!({})));
            let expected = oracle.receivers(who, from, to);
            for (other, client) in clients.iter().enumerate() {
                let got = client.take();
                match &expected {
                    Err(error) if other == who => {
                        prop_assert_eq!(got.len(), 1);
                        prop_assert_eq!(code(&got[0]), *error);
                    }
                    Ok(receivers) if receivers.contains(&other) => {
                        prop_assert_eq!(got.len(), 1);
                        prop_assert_eq!(&got[0]["to"], to);
                    }
                    _ => prop_assert_eq!(got.len(), 0),
                }
            }
        }
    }
    Ok(())
}

fn step() -> impl Strategy<Value = Step> {
    let address = || 0..ADDRESSES.len();
    prop_oneof![
        1 => Just(Step::Open),
        1 => Just(Step::Close),
        6 => (address(), address(), proptest::option::of(address()))
            .prop_map(|(from, url, source)| Step::Subscribe { from, url, source }),
        2 => address().prop_map(|url| Step::Unsubscribe { url }),
        3 => address().prop_map(|url| Step::Register { url }),
        1 => address().prop_map(|url| Step::Delete { url }),
        9 => (address(), address()).prop_map(|(from, to)| Step::Send { from, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_node_does_what_the_lists_say(
        steps in proptest::collection::vec((0..CLIENTS, step()), 1..80),
    ) {
        let net = Net::new();
        let mut oracle = Oracle::default();
        let mut clients: Vec<_> = (0..CLIENTS).map(|who| net.client(&who.to_string())).collect();
        (0..CLIENTS).for_each(|who| oracle.open(who));
        let mut entries = BTreeSet::new();
        for (who, step) in &steps {
            play(&net, &mut clients, &mut oracle, &mut entries, *who, step)?;
        }
        let metrics = net.node.metrics();
        prop_assert_eq!(metrics.subscriptions, oracle.subscribed.len());
        prop_assert_eq!(metrics.sessions, oracle.open.len());
    }
}
