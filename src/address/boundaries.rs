//! Where the prefixes of an address end.

use super::shape::{Bits, SLASHES_BYTES, Shape};

/// The ends of the prefixes of an address, shortest first (see [`Address::boundaries`]).
///
/// [`Address::boundaries`]: super::Address::boundaries
#[derive(Clone, Debug)]
pub struct Boundaries<'a> {
    text: &'a str,
    base: usize,
    /// Slashes that were seen when the address was checked.
    near: Bits,
    /// From where on to look for more; no place when the end of the text was given.
    far: usize,
}

impl<'a> Boundaries<'a> {
    #[inline]
    pub(super) fn new(text: &'a str, shape: Shape) -> Self {
        let base = shape.authority_end as usize;
        let far = (base + SLASHES_BYTES).min(text.len());
        Boundaries { text, base, near: Bits(shape.slashes), far }
    }

    /// What lies beyond is not the end of the text.
    fn next_far(&mut self) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.far..];
        let end = memchr::memchr(b'/', rest).map(|at| self.far + at);
        self.far = end.map_or(usize::MAX, |end| end + 1);
        end.or(Some(self.text.len()))
    }
}

impl Iterator for Boundaries<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        match self.near.next() {
            Some(at) => Some(self.base + at),
            None if self.far < self.text.len() => self.next_far(),
            None => {
                let end = (self.far == self.text.len()).then_some(self.far);
                self.far = usize::MAX;
                end
            }
        }
    }
}
