//! The one workload of all benches: names of 71 bytes over 3,000 domains, and what is looked up among them.
//!
//! Everything follows from a seed, so each run and each rival sees the same. A name follows from the seed and
//! its number alone, so ten million of them need no memory. It times nothing and knows no table. Messages to
//! these names are made in `messages.rs`.
#![allow(dead_code)] // Each bench takes what it needs.

use std::fmt::Write as _;

use hyperty_router::address::Address;

pub(crate) const DOMAINS: u64 = 3_000;
pub(crate) const NAME_BYTES: usize = 71;
/// The seed of the names that are in the tables.
pub(crate) const SEED: u64 = 0x5eed;
/// The seed of names of the same form that are in none.
pub(crate) const SEED_OTHERS: u64 = 0x07e5;

/// `count` names, numbered from 0: `hyperty://domain-01234.example.net/` and 36 bytes like a UUID.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    pub(crate) seed: u64,
    pub(crate) count: usize,
}

impl Names {
    pub(crate) fn new(count: usize) -> Names {
        Names { seed: SEED, count }
    }

    /// Writes the name of this number behind `text`.
    pub(crate) fn write(&self, number: usize, text: &mut String) {
        let mut random = Random::of(self.seed, number as u64);
        let (domain, high, low) = (random.below(DOMAINS), random.next(), random.next());
        let (time, version) = (high >> 32, high >> 16 & 0xffff);
        let (clock, node) = (high & 0xffff, low >> 16);
        write!(
            text,
            "hyperty://domain-{domain:05}.example.net/{time:08x}-{version:04x}-{:04x}-{clock:04x}-{node:012x}",
            low & 0xffff
        )
        .expect("a String takes all");
    }

    /// The name of this number, as a text of its own.
    pub(crate) fn name(&self, number: usize) -> String {
        let mut text = String::with_capacity(NAME_BYTES);
        self.write(number, &mut text);
        text
    }

    /// All of them, each with a `/` at its end (see [`Texts`]).
    pub(crate) fn texts(&self) -> Texts {
        let mut texts = Texts::default();
        for number in 0..self.count {
            texts.push(|text| self.write(number, text));
        }
        texts
    }
}

/// Addresses in one piece of memory. Each is followed by a `/`, which [`Address::parse`] passes over and a
/// trie of bytes needs to see where a prefix may end.
#[derive(Default)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.text.push('/');
        self.ends.push(u32::try_from(self.text.len()).expect("less than 4 GiB"));
    }

    /// With the `/` at the end.
    pub(crate) fn slashed(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.text[*start as usize..*end as usize])
    }

    pub(crate) fn addresses(&self) -> Vec<Address<'_>> {
        self.slashed().map(|text| Address::parse(text).expect("the generator makes them")).collect()
    }
}

/// What a query has to do with the names of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Want {
    /// A name.
    Hit,
    /// A name and one to three segments more.
    Prefix,
    /// A name of the same domains that is not there.
    Miss,
}

impl Want {
    pub(crate) const ALL: [Want; 3] = [Want::Hit, Want::Prefix, Want::Miss];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Want::Hit => "hit",
            Want::Prefix => "prefix",
            Want::Miss => "miss",
        }
    }
}

/// How often each name is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spread {
    Uniform,
    /// The k-th most wanted name 1/k times as often as the first (an exponent of 1).
    Zipf,
}

impl Spread {
    /// The number of the next name that is asked for, of `count`.
    pub(crate) fn draw(self, random: &mut Random, count: usize) -> usize {
        match self {
            Spread::Uniform => random.below(count as u64) as usize,
            Spread::Zipf => random.zipf(count),
        }
    }
}

/// One to three segments more, which an address below a name ends with.
pub(crate) fn below(random: &mut Random) -> &'static str {
    ["/chat", "/chat/room-12", "/chat/room-12/changes"][random.below(3) as usize]
}

/// `queries` look-ups among `names`.
pub(crate) fn queries(names: Names, want: Want, spread: Spread, queries: usize) -> Texts {
    let mut random = Random::of(names.seed + 1 + want as u64, spread as u64);
    let others = Names { seed: SEED_OTHERS, ..names };
    let mut texts = Texts::default();
    for _ in 0..queries {
        let number = spread.draw(&mut random, names.count);
        let more = below(&mut random);
        texts.push(|text| match want {
            Want::Hit => names.write(number, text),
            Want::Miss => others.write(number, text),
            Want::Prefix => {
                names.write(number, text);
                text.push_str(more);
            }
        });
    }
    texts
}

/// SplitMix64: a few lines, the same numbers everywhere, and any of its streams can be entered anywhere.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of this number below `seed`.
    pub(crate) fn of(seed: u64, stream: u64) -> Random {
        Random(Random(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95)).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number below `count`, by Zipf's law with exponent 1. Which numbers are the wanted ones is mixed, so
    /// that they don't stand beside each other in a table that was filled in order.
    fn zipf(&mut self, count: usize) -> usize {
        /// A prime: with any `count` that it does not divide, `rank * MIX % count` takes each value once.
        const MIX: u64 = 2_654_435_761;
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = ((count as f64 + 1.0).powf(uniform) as u64).clamp(1, count as u64) - 1;
        ((rank * MIX) % count as u64) as usize
    }
}
