//! The writer's half of the directory: nodes put in and taken out, parts grown and shrunk.
//!
//! A part of the directory is replaced by one with more or fewer lines, is split in two when it is
//! as large as one edit may copy, and is joined with its neighbour when both are nearly empty. Each
//! time all slots of the part are copied and readers are turned to the copy by one store for each
//! place of the array that leads there; those who are on their way finish in the old lines, which
//! are as they were. It does not know what entries mean.

use smallvec::SmallVec;

use super::{
    arena::{Allocator, Arena, Record},
    directory::{Directory, PART_BITS, PARTS, part_of},
    hash::Hash,
    line::Lines,
    node::Node,
    retire::Retired,
    slot::Slot,
};
use crate::memory::prefetch;

/// What the writer knows of the parts.
pub(super) struct Growth {
    parts: Parts,
}

/// The parts by the places of the array.
enum Parts {
    /// There is but one, as in any small table.
    One(Part),
    Many(Box<[Part; PARTS]>),
}

/// A run of places of the array that lead to the same lines.
#[derive(Clone, Copy)]
struct Part {
    /// Bits of a hash that its nodes share.
    depth: u8,
    /// Nodes in it; kept at the first place of the run, as the next.
    nodes: u32,
    /// Its lines, or none for the empty ones.
    lines: Record,
}

impl Part {
    const EMPTY: Part = Part { depth: 0, nodes: 0, lines: Record::NONE };
}

/// What the writer of a table hands to each step.
pub(super) struct Context<'a> {
    pub(super) directory: &'a Directory,
    pub(super) arena: &'a Arena,
    pub(super) allocator: &'a mut Allocator,
    pub(super) retired: &'a mut Retired,
}

impl<'a> Context<'a> {
    fn create(&mut self, class: usize) -> (Lines<'a>, Record) {
        // SAFETY: lines are retired when no part leads to them any more, and freed after the edit that this
        // is part of.
        unsafe { Lines::create(self.arena, self.allocator, class) }
    }
}

impl Growth {
    pub(super) fn new() -> Growth {
        Growth { parts: Parts::One(Part::EMPTY) }
    }

    /// True if there are no lines but the empty ones.
    pub(super) fn is_empty(&self) -> bool {
        // Parts grow and shrink, and go only all together.
        self.parts.at(0).lines == Record::NONE
    }

    /// Makes an empty directory ready for `nodes` nodes.
    pub(super) fn reserve(&mut self, context: &mut Context<'_>, nodes: usize) {
        debug_assert!(self.is_empty(), "only an empty directory is made ready");
        let depth = (0..PART_BITS).find(|depth| nodes >> depth <= PART_NODES_MAX * 9 / 10);
        let depth = depth.unwrap_or(PART_BITS);
        let each = nodes >> depth;
        // Parts differ by chance; five deviations of the expected number are room enough.
        let class = class_for(each + 5 * each.isqrt() + 1);
        for first in (0..PARTS).step_by(PARTS >> depth) {
            let lines = context.create(class);
            self.turn(context, first, depth as u8, 0, lines);
        }
    }

    /// Puts a node in, making room before. O(1) amortised, never more than one part.
    pub(super) fn put(&mut self, context: &mut Context<'_>, hash: Hash, slot: Slot) {
        loop {
            let first = self.first(hash);
            let part = self.parts.at(first);
            let lines = writers_lines(context.directory, hash);
            if !lines.is_empty_ones() && part.nodes < room(lines) {
                lines.put(hash, slot);
                self.parts.at_mut(first).nodes += 1;
                return;
            }
            self.grow(context, first, part, lines);
        }
    }

    /// Takes `node` out, which must be in.
    pub(super) fn take(&mut self, context: &mut Context<'_>, hash: Hash, node: Record) {
        let first = self.first(hash);
        let lines = writers_lines(context.directory, hash);
        lines.take(hash, node);
        self.parts.at_mut(first).nodes -= 1;
        let part = self.parts.at(first);
        if lines.count() > LINES_MIN && part.nodes * 4 < room(lines) {
            self.shrink(context, first, part, lines);
        }
    }

    /// Turns readers away from all lines, nothing in them being needed any more. Their records are the
    /// caller's to see to, for all of them go.
    pub(super) fn clear(&mut self, directory: &Directory) {
        (0..PARTS).for_each(|part| directory.set_part(part, Lines::empty().tagged()));
        self.parts = Parts::One(Part::EMPTY);
    }

    fn grow(&mut self, context: &mut Context<'_>, first: usize, part: Part, lines: Lines<'_>) {
        let depth = u32::from(part.depth);
        if lines.is_empty_ones() {
            let lines = context.create(0);
            self.turn(context, first, part.depth, 0, lines);
        } else if lines.count() < LINES_MAX || depth == PART_BITS {
            self.copy(context, &[lines], first, part.depth, lines.class() + 2, part.nodes);
        } else {
            self.split(context, first, part, lines);
        }
    }

    fn split(&mut self, context: &mut Context<'_>, first: usize, part: Part, lines: Lines<'_>) {
        let middle = first + run(part.depth) / 2;
        let class = class_for(part.nodes as usize * 3 / 4);
        let old = part.lines;
        let (low, high) = (context.create(class), context.create(class));
        let (mut lows, mut highs) = (0, 0);
        copy_slots(context, lines, |hash, slot| {
            let (to, count) =
                if part_of(hash) < middle { (low.0, &mut lows) } else { (high.0, &mut highs) };
            to.put(hash, slot);
            *count += 1;
        });
        self.turn(context, first, part.depth + 1, lows, low);
        self.turn(context, middle, part.depth + 1, highs, high);
        retire(context, old);
    }

    fn shrink(&mut self, context: &mut Context<'_>, first: usize, part: Part, lines: Lines<'_>) {
        let other = first ^ run(part.depth);
        let beside = (part.depth > 0).then(|| self.parts.at(other));
        let joined = beside.filter(|beside| beside.depth == part.depth);
        let joined = joined.map(|beside| (beside.nodes + part.nodes) as usize);
        if let Some(nodes) = joined.filter(|nodes| *nodes < PART_NODES_MAX / 2) {
            let beside = writers_part(context.directory, other);
            let from = [lines, beside];
            let class = class_for(nodes * 3 / 2);
            self.copy(context, &from, first.min(other), part.depth - 1, class, nodes as u32);
        } else {
            let class = class_for(part.nodes as usize * 3 / 2);
            self.copy(context, &[lines], first, part.depth, class, part.nodes);
        }
    }

    /// Copies all slots of `from` into new lines of `class`, for the part at `first`.
    fn copy(
        &mut self,
        context: &mut Context<'_>,
        from: &[Lines<'_>],
        first: usize,
        depth: u8,
        class: usize,
        nodes: u32,
    ) {
        let to = context.create(class);
        for lines in from {
            copy_slots(context, *lines, |hash, slot| to.0.put(hash, slot));
        }
        let places = first..first + run(depth);
        let old = places.filter_map(|place| {
            let part = self.parts.at(place);
            (place & (run(part.depth) - 1) == 0).then_some(part.lines)
        });
        let old: SmallVec<[Record; 2]> = old.collect();
        self.turn(context, first, depth, nodes, to);
        old.into_iter().for_each(|record| retire(context, record));
    }

    /// Turns readers of the part at `first` to `to`.
    fn turn(
        &mut self,
        context: &Context<'_>,
        first: usize,
        depth: u8,
        nodes: u32,
        (to, lines): (Lines<'_>, Record),
    ) {
        (first..first + run(depth))
            .for_each(|place| context.directory.set_part(place, to.tagged()));
        self.parts.set(first, Part { depth, nodes, lines });
    }

    /// The first place of the run that `hash` falls into.
    fn first(&self, hash: Hash) -> usize {
        let part = part_of(hash);
        part & !(run(self.parts.at(part).depth) - 1)
    }
}

/// The lines of `hash`, for the writer.
pub(super) fn writers_lines(directory: &Directory, hash: Hash) -> Lines<'_> {
    writers_part(directory, part_of(hash))
}

fn writers_part(directory: &Directory, part: usize) -> Lines<'_> {
    // SAFETY: only the writer replaces lines, and it drops these before it does: every caller is
    // the writer, and gives up what it replaced at the end of the same step.
    unsafe { Lines::from_tagged(directory.part(part)) }
}

fn copy_slots(context: &Context<'_>, from: Lines<'_>, mut put: impl FnMut(Hash, Slot)) {
    let soon = |node| prefetch(context.arena.at(node).cast_const());
    from.each(soon, |tag, slot| {
        // SAFETY: a node in the directory is not freed, and only the writer, who is here, takes one
        // out.
        let node = unsafe { Node::at(context.arena, slot.node()) };
        put(node.hash(tag), slot);
    });
}

impl Parts {
    /// The part at a place; what is counted is right at the first place of its run only.
    fn at(&self, place: usize) -> Part {
        match self {
            Parts::One(part) => *part,
            Parts::Many(parts) => parts[place],
        }
    }

    fn at_mut(&mut self, place: usize) -> &mut Part {
        match self {
            Parts::One(part) => part,
            Parts::Many(parts) => &mut parts[place],
        }
    }

    /// Makes `part` the one of the whole run that begins at `first`.
    fn set(&mut self, first: usize, part: Part) {
        if part.depth == 0 {
            *self = Parts::One(part);
            return;
        }
        if let Parts::One(old) = self {
            *self = Parts::Many(Box::new([*old; PARTS]));
        }
        if let Parts::Many(parts) = self {
            parts[first..first + run(part.depth)].fill(part);
        }
    }
}

/// Gives up lines that no part leads to any more.
fn retire(context: &mut Context<'_>, lines: Record) {
    context.retired.add(lines, context.allocator.bytes_of(lines));
}

/// Places of the array for a part of `depth`.
fn run(depth: u8) -> usize {
    PARTS >> depth
}

/// Nodes that `lines` take before they are replaced by more.
fn room(lines: Lines<'_>) -> u32 {
    (lines.count() * NODES_A_LINE_MAX) as u32
}

fn class_for(nodes: usize) -> usize {
    Lines::class_for(nodes.div_ceil(NODES_A_LINE_MAX))
}

/// Nodes a line at most, on average: beyond, too many look-ups need a second line.
const NODES_A_LINE_MAX: usize = 5;
const LINES_MIN: usize = 4;
/// Lines of a part that is split when it is full: the most that one edit copies, until all places of the
/// array lead to parts of their own (some 20 million nodes).
const LINES_MAX: usize = 4_096;
const PART_NODES_MAX: usize = LINES_MAX * NODES_A_LINE_MAX;
