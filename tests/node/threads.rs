//! The node under several threads: routing goes on while sessions move between sockets.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::json;

use crate::harness::{Net, message, session};

const MESSAGES: u64 = 3_000;
const SENDERS: u64 = 3;

/// Goal: a session that is taken over again and again loses nothing, doubles nothing and keeps each
/// sender's order. Method: senders on threads of their own, the receiver re-opening all the while,
/// each socket drained to its end before the next one's frames count.
#[test]
fn nothing_is_lost_while_a_session_moves_from_socket_to_socket() {
    let net = Net::new();
    let mut alice = net.client("alice");
    let senders: Vec<_> = (0..SENDERS).map(|n| net.client(&n.to_string())).collect();
    let to = format!("{}/ua", alice.url);
    let done = AtomicBool::new(false);
    let mut got = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = senders
            .iter()
            .map(|sender| {
                let (net, to) = (&net, &to);
                scope.spawn(move || {
                    for id in 0..MESSAGES {
                        net.send(sender, message(id, "update", &sender.url, to, json!({})));
                    }
                })
            })
            .collect();
        let done = &done;
        scope.spawn(move || {
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            done.store(true, Ordering::Release);
        });
        loop {
            let is_last = done.load(Ordering::Acquire);
            let again = net.socket();
            let re_open = session(9, "re-open", &format!("{}/{}", alice.url, alice.token));
            // What the old socket still gives out before it is taken over comes first.
            got.extend(alice.take());
            net.send(&again, re_open);
            assert!(alice.take().is_empty(), "nothing comes out of a socket that was taken over");
            net.close_socket(&alice);
            alice.socket = again.socket;
            got.extend(alice.take());
            if is_last {
                break;
            }
        }
    });
    got.retain(|message| message["type"] == "update");
    for sender in &senders {
        let ids = got.iter().filter(|m| m["from"] == sender.url.as_str());
        let ids: Vec<_> = ids.map(|m| m["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (0..MESSAGES).collect::<Vec<_>>());
    }
    assert_eq!(net.node.metrics().delivered, SENDERS * MESSAGES);
}

/// Goal: what is routed while sessions come and go is delivered to a session of that runtimeURL or
/// refused, and every message is accounted for. Method: one runtime opens anew all the while,
/// others send requests to it.
#[test]
fn every_message_is_accounted_for_while_sessions_come_and_go() {
    let net = Net::new();
    let senders: Vec<_> = (0..SENDERS).map(|n| net.client(&n.to_string())).collect();
    let before = net.node.metrics();
    let running = AtomicBool::new(true);
    let mut received = 0;
    thread::scope(|scope| {
        let threads: Vec<_> = senders
            .iter()
            .map(|sender| {
                let net = &net;
                scope.spawn(move || {
                    let to = "hyperty-runtime://a.com/alice/ua";
                    for id in 0..MESSAGES {
                        net.send(sender, message(id, "execute", &sender.url, to, json!({})));
                    }
                })
            })
            .collect();
        let running = &running;
        scope.spawn(move || {
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            running.store(false, Ordering::Release);
        });
        while running.load(Ordering::Acquire) {
            let alice = net.client_amid("alice");
            received += alice.take().iter().filter(|m| m["type"] == "execute").count();
            let close = session(3, "close", &alice.url).to_string();
            let _ = net.frame(&alice, close);
            net.close_socket(&alice);
        }
    });
    let refused: usize = senders.iter().map(|sender| sender.take().len()).sum();
    let metrics = net.node.metrics();
    let ended = metrics.dropped(hyperty_router::node::DropReason::SessionEnded) as usize;
    assert_eq!(received + refused + ended, (SENDERS * MESSAGES) as usize);
    assert_eq!(metrics.refused - before.refused, refused as u64);
}
