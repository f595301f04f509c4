//! What the runs did, added up. It judges nothing.

use hyperty_router::link::Path;

use super::ledger::{Ended, Ledger};

/// Counts over one run or many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) seeds: u64,
    /// Accepted in all; of them numbered.
    pub(crate) messages: u64,
    pub(crate) numbered: u64,
    pub(crate) refused: u64,
    /// Numbered messages by their end; those whose sender died have none.
    pub(crate) delivered: u64,
    pub(crate) returned: u64,
    pub(crate) in_doubt: u64,
    pub(crate) orphaned: u64,
    /// Plain messages that were returned.
    pub(crate) plain_returned: u64,
    pub(crate) by_node: u64,
    pub(crate) by_p2p: u64,
    pub(crate) resent: u64,
    pub(crate) duplicates_dropped: u64,
    pub(crate) links: u64,
    pub(crate) deaths: u64,
    pub(crate) freezes: u64,
    /// Seconds of the virtual clock.
    pub(crate) seconds: u64,
}

impl Report {
    pub(crate) fn read(ledger: &Ledger, lives: &[u32]) -> Report {
        let mut report = Report { seeds: 1, refused: ledger.refused, ..Report::default() };
        for line in &ledger.lines {
            report.messages += 1;
            report.numbered += u64::from(line.numbered);
            match (line.numbered, line.ended) {
                (true, Some(Ended::Returned)) => report.returned += 1,
                (true, Some(Ended::InDoubt)) => report.in_doubt += 1,
                (true, None) if lives[line.from.0] == line.lives.0 => report.delivered += 1,
                (true, None) => report.orphaned += 1,
                (false, ended) => report.plain_returned += u64::from(ended.is_some()),
            }
            match line.heard {
                Some((_, Path::P2p)) => report.by_p2p += 1,
                Some(_) => report.by_node += 1,
                None => {}
            }
        }
        report
    }

    pub(crate) fn add(&mut self, other: &Report) {
        self.seeds += other.seeds;
        self.messages += other.messages;
        self.numbered += other.numbered;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.returned += other.returned;
        self.in_doubt += other.in_doubt;
        self.orphaned += other.orphaned;
        self.plain_returned += other.plain_returned;
        self.by_node += other.by_node;
        self.by_p2p += other.by_p2p;
        self.resent += other.resent;
        self.duplicates_dropped += other.duplicates_dropped;
        self.links += other.links;
        self.deaths += other.deaths;
        self.freezes += other.freezes;
        self.seconds += other.seconds;
    }
}
