//! What is under way in the world, and how it looks on the way to a Message Node.

use std::time::Instant;

use bytes::Bytes;
use hyperty_router::{link::Outgoing, message::write_hop};

use super::{End, Flight};

/// What is due from one end to the other; the fault that ends the link.
pub(super) fn carry(
    from: &mut End,
    to: &mut End,
    now: Instant,
    moved: &mut bool,
) -> Option<String> {
    for item in due(&mut from.flight, now) {
        *moved = true;
        let taken = match &item {
            Outgoing::Message { bytes, hop } => {
                let number = hop.map_or(0, |hop| hop.number);
                to.ingress.on_message(number, bytes.clone(), now)
            }
            Outgoing::Control(control) => to.ingress.on_control(control, now),
        };
        if let Err(fault) = taken {
            return Some(fault.to_string());
        }
    }
    None
}

pub(super) fn due<T>(flight: &mut Flight<T>, now: Instant) -> Vec<T> {
    let count = flight.iter().take_while(|(at, _)| *at <= now).count();
    flight.drain(..count).map(|(_, item)| item).collect()
}

pub(super) fn encode(item: &Outgoing) -> Bytes {
    match item {
        Outgoing::Message { bytes, hop: None } => bytes.clone(),
        Outgoing::Message { bytes, hop: Some(hop) } => {
            let mut text = Vec::new();
            write_hop(*hop, &mut text);
            text.extend_from_slice(&bytes[1..]);
            text.into()
        }
        Outgoing::Control(_) => panic!("control has no place on the way to a Message Node"),
    }
}
