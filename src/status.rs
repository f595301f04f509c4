//! The status of a P2P connection: its words on the wire and the one table of allowed steps.
//!
//! Carries out "New P2P Connection event" and "P2P Connection Update event" of the page P2P Connection
//! Messages. It knows nothing of who may send such an event; that is the Registry's to judge.

use std::fmt;

/// Where a P2P connection stands within one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Known, nothing tried yet.
    Created = 0,
    /// Being set up.
    InProgress = 1,
    /// Carries messages.
    Live = 2,
    /// The set-up came to nothing.
    Failed = 3,
    /// Was live, is gone.
    Disconnected = 4,
}

/// What an event asks of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The status changes within the same generation.
    Advance,
    /// A new generation begins.
    Renew,
    /// The status is this already.
    Repeat,
    /// Not a step that the table allows.
    Forbidden,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub const ALL: [Status; 5] =
        [Status::Created, Status::InProgress, Status::Live, Status::Failed, Status::Disconnected];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::InProgress => "in-progress",
            Status::Live => "live",
            Status::Failed => "failed",
            Status::Disconnected => "disconnected",
        }
    }

    /// Reads a word, or one of the synonyms accepted on input: `create`, `connecting`, `connected`,
    /// `deployment-failed`.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "created" | "create" => Status::Created,
            "in-progress" | "connecting" => Status::InProgress,
            "live" | "connected" => Status::Live,
            "failed" | "deployment-failed" => Status::Failed,
            "disconnected" => Status::Disconnected,
            _ => return None,
        })
    }

    /// True when nothing more happens within this generation.
    pub fn is_end(self) -> bool {
        matches!(self, Status::Failed | Status::Disconnected)
    }

    /// The table: what going from `self` to `next` is, *within* one generation.
    ///
    /// created → in-progress → live → disconnected; created → live; created or in-progress → failed.
    pub fn step_within(self, next: Status) -> Step {
        use Status::{Created, Disconnected, Failed, InProgress, Live};
        match (self, next) {
            (a, b) if a == b => Step::Repeat,
            (Created, InProgress | Live | Failed)
            | (InProgress, Live | Failed)
            | (Live, Disconnected) => Step::Advance,
            _ => Step::Forbidden,
        }
    }

    /// What `next` is when events carry no generation: one ends only at failed or disconnected, and a new
    /// one starts at created or in-progress; a Requester's (`may_start_live`) also at live after
    /// disconnected.
    pub fn step_unnumbered(self, next: Status, may_start_live: bool) -> Step {
        match self.step_within(next) {
            Step::Forbidden if self.is_end() => match next {
                Status::Created | Status::InProgress => Step::Renew,
                Status::Live if may_start_live && self == Status::Disconnected => Step::Renew,
                _ => Step::Forbidden,
            },
            step => step,
        }
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self::ALL[usize::from(bits).min(4)]
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_and_each_synonym_is_read() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.word()), Some(status));
        }
        let synonyms = [
            ("create", Status::Created),
            ("connecting", Status::InProgress),
            ("connected", Status::Live),
            ("deployment-failed", Status::Failed),
        ];
        for (word, status) in synonyms {
            assert_eq!(Status::from_word(word), Some(status));
        }
        assert_eq!(Status::from_word("Live"), None);
    }

    /// The whole table against the sentence of the design, spelled out pair by pair.
    #[test]
    fn the_table_is_the_sentence() {
        let allowed = [
            ("created", "in-progress"),
            ("in-progress", "live"),
            ("live", "disconnected"),
            ("created", "live"),
            ("created", "failed"),
            ("in-progress", "failed"),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                let expected = match (from == to, allowed.contains(&(from.word(), to.word()))) {
                    (true, _) => Step::Repeat,
                    (_, true) => Step::Advance,
                    _ => Step::Forbidden,
                };
                assert_eq!(from.step_within(to), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn without_numbers_a_generation_ends_only_at_an_end() {
        assert_eq!(Status::Live.step_unnumbered(Status::Created, true), Step::Forbidden);
        assert_eq!(Status::Failed.step_unnumbered(Status::Live, true), Step::Forbidden);
        assert_eq!(Status::Disconnected.step_unnumbered(Status::Live, true), Step::Renew);
        assert_eq!(Status::Disconnected.step_unnumbered(Status::Live, false), Step::Forbidden);
        assert_eq!(Status::Failed.step_unnumbered(Status::InProgress, false), Step::Renew);
    }
}
