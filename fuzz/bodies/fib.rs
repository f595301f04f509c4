//! What the fuzz target `fib` does, as a plain function: bytes are edits and look-ups on a small set of
//! addresses, and the table must agree with the naive one after each.
//!
//! Three bytes a step: what to do, with which entry, on which address.

use hyperty_router::{
    address::Address,
    fib::{Entry, FibWriter, Match},
    slab::Target,
};

use crate::naive_fib::NaiveFib;

/// Runs the steps in `data`.
///
/// # Panics
/// If the two tables differ anywhere.
pub(crate) fn run(data: &[u8]) {
    let (mut writer, mut naive) = (FibWriter::new(), NaiveFib::default());
    let fib = writer.reader();
    for step in data.as_chunks::<3>().0 {
        let text = address(step[2]);
        let address = Address::parse(&text).expect("all of the set are right");
        let entry = entry(step[1]);
        match step[0] % 4 {
            0 | 1 => assert_eq!(writer.insert(&address, entry), naive.insert(&address, entry)),
            2 => assert_eq!(writer.remove(&address, entry), naive.remove(&address, entry)),
            _ => clear(&mut writer, &mut naive, &address),
        }
        writer.publish();
        assert_eq!(writer.entries(&address)[..], naive.entries(&address));
        assert_eq!((writer.len(), writer.node_count()), (naive.len(), naive.node_count()));
        let mut found = Match::default();
        fib.look_up(&address, &mut found);
        assert_eq!(found, naive.look_up(&address), "{text}");
    }
    look_up_all(&writer, &naive);
}

/// Everything off `address`, entry by entry.
fn clear(writer: &mut FibWriter, naive: &mut NaiveFib, address: &Address<'_>) {
    for entry in writer.entries(address) {
        assert!(writer.remove(address, entry) && naive.remove(address, entry));
    }
}

/// All addresses of the set, in one batch.
fn look_up_all(writer: &FibWriter, naive: &NaiveFib) {
    let texts: Vec<_> = (0..=255).map(address).collect();
    let all: Vec<_> = texts.iter().map(|text| Address::parse(text).expect("right")).collect();
    let mut found = vec![Match::default(); all.len()];
    writer.reader().look_up_batch(&all, &mut found);
    for (to, found) in all.iter().zip(&found) {
        assert_eq!(*found, naive.look_up(to), "{to}");
    }
}

/// One of 256 addresses on two domains, up to six segments deep, many covering others; `c` beside `cart`.
fn address(number: u8) -> String {
    let mut text = String::from(["s://d", "hyperty://example.org"][usize::from(number & 1)]);
    let mut rest = number >> 1;
    while rest > 0 {
        text += ["/c", "/cart", "/a-segment-longer-than-one-block"][usize::from(rest % 3)];
        rest /= 3;
    }
    text
}

fn entry(number: u8) -> Entry {
    let (target, exact) = (Target(u32::from(number >> 4)), number & 8 != 0);
    match number % 8 {
        0..3 => Entry::Listener { target, exact },
        3..6 => Entry::Subscription { target, exact },
        6 => Entry::Publish,
        _ => Entry::Route { target },
    }
}
