//! Reads the pages' JSON and compares messages with it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, hyperty};

/// Alice's runtime has the P2P Requester, Bob's the P2P Handler.
pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
pub(crate) const A_SECOND: Duration = Duration::from_secs(1);

/// The page's words and what they are in our world.
const WORDS: &[(&str, &str)] = &[
    ("<P2PHandlerStubURL>", "hyperty-runtime://example.org/bob/p2phandler/1"),
    ("<P2PRequesterStubURL>", "hyperty-runtime://example.org/alice/p2prequester/1"),
    ("<p2p-connectionUrl>", "hyperty-runtime://example.org/bob/p2phandler/1/1"),
    ("<p2p-handler-sp-domain>", "example.org"),
    ("<p2p-handler-runtime-instance-identifier>", "bob"),
    ("<p2p-handler-instance-identifier>", "bob"),
    ("<p2p-requester-sp-domain>", "example.org"),
    ("<p2p-requester-runtime-instance-identifier>", "alice"),
    ("<p2p-requester-identifier>", "alice/1"),
    ("<sp-domain>", "example.org"),
];

/// A world where Alice has written to Bob and the connection is live on both sides.
pub(crate) fn connected() -> World {
    let mut world = World::ready(&["alice", "bob"]);
    world.post(ALICE, &hyperty("bob"), 1).unwrap();
    world.run_until("both are live", World::all_live);
    world.run_for(A_SECOND);
    world
}

/// The page's members as a message, with its words replaced by ours and by `more`.
pub(crate) fn page(members: &str, more: &[(&str, &str)]) -> Value {
    let words = more.iter().chain(WORDS);
    let text = words.fold(members.to_owned(), |text, (word, ours)| {
        // Where the page has a word without quotes, it is a string all the same.
        let bare = format!(" {word}");
        text.replace(&bare, &format!(" \"{word}\"")).replace(word, ours)
    });
    assert!(!text.contains('<'), "a word of the page is not known: {text}");
    serde_json::from_str(&format!("{{{text}}}")).expect(&text)
}

/// The one message of `messages` that is the page's, but for its `id`, which is given back.
pub(crate) fn the_one(messages: &[Value], page: &Value) -> Value {
    let fits = |found: &&Value| is_like(found, page);
    let found: Vec<&Value> = messages.iter().filter(fits).collect();
    let all: Vec<String> = messages.iter().map(Value::to_string).collect();
    assert_eq!(found.len(), 1, "{page}\nas one of\n{}", all.join("\n"));
    assert!(!found[0]["id"].is_null());
    found[0]["id"].clone()
}

/// Equal in every member, the `id` being any; "2XX" is any code from 200 to 299.
fn is_like(found: &Value, page: &Value) -> bool {
    let mut page = page.clone();
    page["id"] = found["id"].clone();
    if page["body"]["code"] == "2XX" {
        let code = found["body"]["code"].as_u64().unwrap_or(0);
        page["body"]["code"] = if (200..300).contains(&code) { json!(code) } else { Value::Null };
    }
    *found == page
}

/// The response of the page to the request with `id`.
pub(crate) fn the_response(messages: &[Value], page: &Value, id: &Value) {
    let with_id: Vec<Value> = messages
        .iter()
        .filter(|message| message["id"] == *id && message["to"] == page["to"])
        .cloned()
        .collect();
    the_one(&with_id, page);
}

/// Everything that `party` wrote itself, in order.
pub(crate) fn written(world: &World, party: usize) -> Vec<Value> {
    let written = world.parties[party].written.lock();
    written.iter().map(|message| serde_json::from_slice(message.bytes()).unwrap()).collect()
}

/// Whether a message is the one meant.
pub(crate) type Fits<'a> = &'a dyn Fn(&Value) -> bool;

/// What comes before what in `messages`: the places of the first that fit, which must rise.
pub(crate) fn in_order(messages: &[Value], fits: &[(&str, Fits<'_>)]) {
    let mut from = 0;
    for (what, fits) in fits {
        let at = messages[from..].iter().position(fits);
        let all: Vec<String> = messages.iter().map(Value::to_string).collect();
        from +=
            at.unwrap_or_else(|| panic!("{what}: not from {from} on in\n{}", all.join("\n"))) + 1;
    }
}
