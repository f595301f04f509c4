//! The envelope: where the routing members of a message stand. How they are found is not known here.

use super::cursor::Quoted;
use super::kind::Kind;
use super::text::Unescaped;

/// Where the routing members stand, whether they hold escapes, and what `type` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    spans: [Span; Member::ALL.len()],
    /// Bit `member as u8`: the value holds a backslash in a string.
    escaped: u8,
    pub(super) kind: Kind,
    /// What the scan knows not to be in the body; it need not know anything.
    pub(super) body_lacks: Lacks,
}

/// Equal when they say the same of the text, whatever was noticed besides.
impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        (self.spans, self.escaped, self.kind) == (other.spans, other.escaped, other.kind)
    }
}

impl Eq for Envelope {}

/// What is known not to be in a nested value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lacks(u8);

impl Lacks {
    #[inline(always)]
    pub(super) fn new(unicode: bool, triples: bool) -> Lacks {
        Lacks(u8::from(unicode) | u8::from(triples) << 1)
    }

    /// There is no `\u`.
    pub(super) fn unicode(self) -> bool {
        self.0 & 1 != 0
    }

    /// There is no string of three bytes, as `"via"` and `"p2p"` are.
    pub(super) fn triples(self) -> bool {
        self.0 & 2 != 0
    }
}

impl Default for Envelope {
    fn default() -> Self {
        let spans = Default::default();
        Envelope { spans, escaped: 0, kind: Kind::Other, body_lacks: Lacks::default() }
    }
}

impl Envelope {
    /// The span of a value, quotes and brackets included; `None` if the member is not there.
    #[inline]
    pub(super) fn span(&self, member: Member) -> Option<Span> {
        let span = self.spans[member as usize];
        if span.end == 0 { None } else { Some(span) }
    }

    #[inline]
    pub(super) fn is_escaped(&self, member: Member) -> bool {
        self.escaped & 1 << member as u8 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, member: Member, span: Span, escaped: bool) {
        self.spans[member as usize] = span;
        self.escaped = self.escaped & !(1 << member as u8) | (escaped as u8) << member as u8;
    }

    /// The same for a member that is not there yet, within a text that is known to be shorter than 4 GiB.
    #[inline(always)]
    pub(super) fn add(&mut self, member: Member, start: usize, end: usize, escaped: bool) {
        self.spans[member as usize] = Span { start: start as u32, end: end as u32 };
        if escaped {
            self.escaped |= 1 << member as u8;
        }
    }

    pub(super) fn clear(&mut self, member: Member) {
        self.set(member, Span::default(), false);
    }

    /// Moves every span that starts at or behind `from` by `by` bytes.
    pub(super) fn shift(&mut self, from: usize, by: isize) {
        let moved = |at: u32| (at as isize + by) as u32;
        for span in self.spans.iter_mut().filter(|s| s.end != 0 && s.start as usize >= from) {
            *span = Span { start: moved(span.start), end: moved(span.end) };
        }
    }
}

/// Half-open byte range. No value of a message starts at 0, so an `end` of 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// # Panics
    /// Beyond 4 GiB; a scanned text is never that long.
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Self {
        let offset = |at: usize| u32::try_from(at).expect("a message is shorter than 4 GiB");
        Span { start: offset(start), end: offset(end) }
    }

    #[inline]
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A routing member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Id,
    Type,
    From,
    To,
    Body,
    Hop,
}

impl Member {
    pub(super) const ALL: [Member; 6] =
        [Member::Id, Member::Type, Member::From, Member::To, Member::Body, Member::Hop];

    pub(super) fn name(self) -> &'static str {
        match self {
            Member::Id => "id",
            Member::Type => "type",
            Member::From => "from",
            Member::To => "to",
            Member::Body => "body",
            Member::Hop => "hop",
        }
    }

    /// The member that a name names once its escapes, which must be valid, are read.
    pub(super) fn named(name: &Quoted<'_>) -> Option<Member> {
        if name.escaped {
            let is = |member: &Member| Unescaped::new(name.raw).eq(member.name().chars().map(Ok));
            return Member::ALL.into_iter().find(is);
        }
        match name.raw {
            "id" => Some(Member::Id),
            "type" => Some(Member::Type),
            "from" => Some(Member::From),
            "to" => Some(Member::To),
            "body" => Some(Member::Body),
            "hop" => Some(Member::Hop),
            _ => None,
        }
    }
}
