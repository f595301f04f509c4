//! What was posted, what was heard, how it ended; and the guarantee that is judged by it.
//!
//! Times are those of the virtual clock since the world began. The oracle is a list: each message has one
//! line, and each thing that happens to it is held against the line.

use std::{collections::BTreeMap, time::Duration};

use hyperty_router::link::Path;

/// From acceptance to the fence: what a path may take to come back and still save the message.
const FENCED_AFTER: Duration = Duration::from_secs(9);
/// So long must a path have worked without a break for a message to have no excuse.
pub(crate) const GOOD_ENOUGH: Duration = Duration::from_secs(4);
/// After this a barrier does not hold any more, and a late plain message may be overtaken.
const BARRIER: Duration = Duration::from_secs(8);

/// How a message ended, if not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Returned,
    InDoubt,
}

/// One message that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) from: (usize, usize),
    pub(crate) to: (usize, usize),
    /// The process lives that it was between: of the receiver, the one that gave the stream.
    pub(crate) lives: (u32, u32),
    pub(crate) at: Duration,
    pub(crate) numbered: bool,
    pub(crate) heard: Option<(Duration, Path)>,
    pub(crate) ended: Option<Ended>,
    /// It was posted when all was well again.
    pub(crate) epilogue: bool,
}

/// A direction between two runtimes, in their present lives: since when its paths work, and when they did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    by_node: Spans,
    direct: Spans,
}

/// When something was so.
#[derive(Clone, Debug, Default)]
struct Spans {
    since: Option<Duration>,
    past: Vec<(Duration, Duration)>,
}

impl Spans {
    fn set(&mut self, good: bool, now: Duration) {
        match (self.since, good) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.past.push((since, now));
                self.since = None;
            }
            _ => {}
        }
    }

    fn any(&self, now: Duration, is: impl Fn(Duration, Duration) -> bool) -> bool {
        let last = self.since.map(|since| (since, now));
        self.past.iter().copied().chain(last).any(|(from, to)| is(from, to))
    }
}

/// (from, to), and the life of the sender.
type Between = ((usize, usize), (usize, usize), u32);

/// All messages of one run.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) lines: Vec<Line>,
    pub(crate) refused: u64,
    paths: BTreeMap<(usize, usize), Paths>,
    /// The last message heard of each (from, to) and life of the sender: numbered, and plain by Message Node.
    last: BTreeMap<Between, [Option<usize>; 2]>,
}

impl Ledger {
    /// Notes whether the paths from one runtime to another work now.
    pub(crate) fn paths(
        &mut self,
        pair: (usize, usize),
        by_node: bool,
        direct: bool,
        now: Duration,
    ) {
        let paths = self.paths.entry(pair).or_default();
        paths.by_node.set(by_node, now);
        paths.direct.set(direct, now);
    }

    /// True if some path has worked since `since`.
    pub(crate) fn works_since(&self, pair: (usize, usize), since: Duration) -> bool {
        let works = |spans: &Spans| spans.since.is_some_and(|from| from <= since);
        self.paths.get(&pair).is_some_and(|paths| works(&paths.by_node) || works(&paths.direct))
    }

    /// A listener of `party`, in its life `life`, took message `number`.
    pub(crate) fn heard(
        &mut self,
        number: usize,
        (party, life): (usize, u32),
        path: Path,
        now: Duration,
    ) -> Result<(), String> {
        let line = self.lines.get_mut(number).ok_or("a message out of nowhere")?;
        if line.to.0 != party {
            return Err(format!("{number} was heard by {party}: {line:?}"));
        }
        if line.heard.is_some() {
            return Err(format!("{number} was heard twice: {line:?}"));
        }
        if line.ended == Some(Ended::Returned) {
            return Err(format!("{number} was returned, and heard after that: {line:?}"));
        }
        if line.numbered && line.lives.1 != life {
            return Err(format!("{number} was resent to a new incarnation: {line:?}"));
        }
        line.heard = Some((now, path));
        let line = line.clone();
        let last = self.last.entry((line.from, line.to, line.lives.0)).or_default();
        let [numbered, plain] = *last;
        last[usize::from(!line.numbered)] = Some(number);
        let own = if line.numbered { numbered } else { plain };
        if let Some(before) = own.filter(|before| *before > number) {
            return Err(format!("{number} was heard after {before}: {line:?}"));
        }
        if let Some(before) = numbered.filter(|before| !line.numbered && *before > number) {
            let overtook = &self.lines[before];
            let lapsed = overtook.heard.is_some_and(|(at, _)| at >= line.at + BARRIER);
            if !lapsed && overtook.lives == line.lives {
                return Err(format!("plain {number} was overtaken by {before}: {line:?}"));
            }
        }
        Ok(())
    }

    /// Message `number` ended otherwise than delivered.
    pub(crate) fn ended(
        &mut self,
        number: usize,
        code: u16,
        lives: &[u32],
        now: Duration,
    ) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(number) else { return Err("ended nothing".into()) };
        let ended = match code {
            408 | 503 => Ended::Returned,
            504 if line.numbered => Ended::InDoubt,
            _ => return Err(format!("{number} ended with {code}: {line:?}")),
        };
        if line.ended.is_some() {
            return Err(format!("{number} ended twice: {line:?}"));
        }
        if ended == Ended::Returned && line.heard.is_some() {
            return Err(format!("{number} was heard, and returned after that: {line:?}"));
        }
        line.ended = Some(ended);
        let line = line.clone();
        if line.numbered && lives[line.to.0] == line.lives.1 && self.must_arrive(&line, now) {
            return Err(format!("{number} ended with {code}, though a path was there: {line:?}"));
        }
        Ok(())
    }

    /// Both lives last, and a path worked for long enough before the deadline. `now`: the end of the message.
    fn must_arrive(&self, line: &Line, now: Duration) -> bool {
        let Some(paths) = self.paths.get(&(line.from.0, line.to.0)) else { return false };
        let fence = line.at + FENCED_AFTER;
        let by_node = paths
            .by_node
            .any(now, |from, to| to.min(fence).saturating_sub(from.max(line.at)) >= GOOD_ENOUGH);
        // A barrier may keep it from the direct path for eight seconds.
        let direct = paths.direct.any(now, |from, to| from <= fence - GOOD_ENOUGH && to >= fence);
        by_node || direct
    }

    /// The runtime `party` is another process from now on, or none: what counted for paths does not any more.
    pub(crate) fn new_life(&mut self, party: usize) {
        self.paths.retain(|pair, _| pair.0 != party && pair.1 != party);
    }

    /// At rest: each message that was accepted by a process that lives has had its end, and only one.
    pub(crate) fn judge(&self, lives: &[u32]) -> Result<(), String> {
        for (number, line) in self.lines.iter().enumerate() {
            let sender_lives = lives[line.from.0] == line.lives.0;
            if line.numbered && sender_lives && line.ended.is_none() && line.heard.is_none() {
                return Err(format!("{number} is said to be delivered and was not: {line:?}"));
            }
            if line.epilogue && line.heard.is_none_or(|(_, path)| path != Path::P2p) {
                return Err(format!(
                    "{number} did not arrive by P2P though all was well: {line:?}"
                ));
            }
        }
        Ok(())
    }
}
