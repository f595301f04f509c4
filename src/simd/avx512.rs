//! Blocks as one vector of 64 bytes; comparisons give masks at once. Needs AVX-512 BW, VBMI2 for
//! compressing, and carry-less multiplication for the parity of quotes.

use std::arch::x86_64::*;

use super::{BLOCK_BYTES, Block, BlockRoom, Blocks, Masks, Work};

/// Proof that the processor has AVX-512 F, BW and VBMI2, PCLMULQDQ, BMI1, BMI2, LZCNT and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Avx512(()))
    }

    #[inline(always)]
    fn load(self, block: &Block) -> __m512i {
        // SAFETY: the load covers the 64 bytes and needs no alignment; `self` proves AVX-512 F.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn all(self, byte: i8) -> __m512i {
        // SAFETY: `self` proves that the processor has AVX-512 F.
        unsafe { _mm512_set1_epi8(byte) }
    }

    #[inline(always)]
    fn equal(self, block: __m512i, byte: u8) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        unsafe { _mm512_cmpeq_epi8_mask(block, self.all(byte as i8)) }
    }

    /// Bytes above 0x7f are negative, and so below 0x20 as well.
    #[inline(always)]
    fn unplain(self, block: __m512i) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        unsafe { _mm512_cmplt_epi8_mask(block, self.all(0x20)) }
    }
}

impl Blocks for Avx512 {
    /// The lowest bytes, with a sign.
    type Seen = __m512i;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
        fn compiled_for_avx512<W: Work>(blocks: Avx512, work: W) -> W::Answer {
            work.with(blocks)
        }
        // SAFETY: `self` proves that the processor has all that the function is compiled for.
        unsafe { compiled_for_avx512(self, work) }
    }

    #[inline(always)]
    fn masks(self, block: &Block) -> Masks {
        let block = self.load(block);
        // SAFETY: `self` proves that the processor has AVX-512 F.
        let folded = unsafe { _mm512_or_si512(block, self.all(0x20)) };
        Masks {
            quotes: self.equal(block, b'"'),
            backslashes: self.equal(block, b'\\'),
            // The bit of lower case is all that tells `[` from `{` and `]` from `}`.
            brackets: self.equal(folded, b'{') | self.equal(folded, b'}'),
        }
    }

    #[inline(always)]
    fn special(self, block: &Block) -> u64 {
        let block = self.load(block);
        self.equal(block, b'"') | self.equal(block, b'\\') | self.unplain(block)
    }

    #[inline(always)]
    fn equal_to(self, block: &Block, byte: u8) -> u64 {
        self.equal(self.load(block), byte)
    }

    #[inline(always)]
    fn dots_and_slashes(self, block: &Block) -> u64 {
        let block = self.load(block);
        self.equal(block, b'.') | self.equal(block, b'/')
    }

    #[inline(always)]
    fn has_unprintable(self, block: &Block) -> bool {
        let block = self.load(block);
        // Above 0x7e are 0x7f and what is negative.
        self.unplain(block) | self.equal(block, 0x7f) != 0
    }

    #[inline(always)]
    fn controls(self, block: &Block) -> u64 {
        self.unplain(self.load(block)) & !self.non_ascii(block)
    }

    #[inline(always)]
    fn non_ascii(self, block: &Block) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        unsafe { _mm512_movepi8_mask(self.load(block)) }
    }

    #[inline(always)]
    fn nothing_seen(self) -> __m512i {
        self.all(i8::MAX)
    }

    #[inline(always)]
    fn see(self, seen: __m512i, block: &Block) -> __m512i {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        unsafe { _mm512_min_epi8(seen, self.load(block)) }
    }

    #[inline(always)]
    fn saw_unplain(self, seen: __m512i) -> bool {
        self.unplain(seen) != 0
    }

    #[inline(always)]
    fn parity(self, mask: u64) -> u64 {
        // SAFETY: `self` proves that the processor has PCLMULQDQ.
        unsafe {
            let all = _mm_set1_epi8(-1);
            let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(mask as i64), all);
            _mm_cvtsi128_si64(product) as u64
        }
    }

    #[inline(always)]
    fn write_places(self, mask: u64, start: u16, room: &mut BlockRoom) {
        let (low, high) = room.split_at_mut(BLOCK_BYTES / 2);
        // SAFETY: each store covers 32 places of 2 bytes and needs no alignment; `self` proves AVX-512 BW and
        // VBMI2.
        unsafe {
            let places =
                _mm512_maskz_compress_epi8(mask, _mm512_loadu_si512(NUMBERS.as_ptr().cast()));
            let start = _mm512_set1_epi16(start as i16);
            let widened = |half| _mm512_add_epi16(_mm512_cvtepu8_epi16(half), start);
            let first = widened(_mm512_castsi512_si256(places));
            _mm512_storeu_si512(low.as_mut_ptr().cast(), first);
            if mask.count_ones() > 32 {
                let second = widened(_mm512_extracti64x4_epi64::<1>(places));
                _mm512_storeu_si512(high.as_mut_ptr().cast(), second);
            }
        }
    }
}

/// Each byte's number.
const NUMBERS: Block = {
    let mut numbers = [0; BLOCK_BYTES];
    let mut i = 0;
    while i < BLOCK_BYTES {
        numbers[i] = i as u8;
        i += 1;
    }
    numbers
};
