//! Blocks as one vector of 64 bytes; comparisons give masks at once. Needs AVX-512 BW, VBMI2 for
//! compressing, and carry-less multiplication for the parity of quotes.

use std::arch::x86_64::*;

use super::{BLOCK_BYTES, Blocks, Work};

/// Proof that the processor has AVX-512 F, BW and VBMI2, PCLMULQDQ, BMI1, BMI2 and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx512(());

impl Avx512 {
    pub(in super::super) fn detect() -> Option<Avx512> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Avx512(()))
    }

    #[inline(always)]
    fn equal(self, block: __m512i, byte: u8) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        unsafe { _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte as i8)) }
    }
}

impl Blocks for Avx512 {
    type Block = __m512i;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,pclmulqdq,bmi1,bmi2,popcnt")]
        fn compiled_for_avx512<W: Work>(blocks: Avx512, work: W) -> W::Answer {
            work.with(blocks)
        }
        // SAFETY: `self` proves that the processor has all that the function is compiled for.
        unsafe { compiled_for_avx512(self, work) }
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; BLOCK_BYTES]) -> __m512i {
        // SAFETY: the load covers the 64 bytes and needs no alignment; `self` proves AVX-512 F.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn special(self, block: __m512i) -> u64 {
        self.equal(block, b'"') | self.rare(block)
    }

    #[inline(always)]
    fn quotes(self, block: __m512i) -> u64 {
        self.equal(block, b'"')
    }

    #[inline(always)]
    fn backslashes(self, block: __m512i) -> u64 {
        self.equal(block, b'\\')
    }

    /// Bytes above 0x7f are negative, and so below 0x20 as well.
    #[inline(always)]
    fn rare(self, block: __m512i) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        let below_or_above = unsafe { _mm512_cmplt_epi8_mask(block, _mm512_set1_epi8(0x20)) };
        self.equal(block, b'\\') | below_or_above
    }

    #[inline(always)]
    fn non_ascii(self, block: __m512i) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 BW.
        unsafe { _mm512_movepi8_mask(block) }
    }

    #[inline(always)]
    fn brackets(self, block: __m512i) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 F.
        let folded = unsafe { _mm512_or_si512(block, _mm512_set1_epi8(0x20)) };
        self.equal(folded, b'{') | self.equal(folded, b'}')
    }

    #[inline(always)]
    fn compress(self, block: &[u8; BLOCK_BYTES], mask: u64, out: &mut [u8; BLOCK_BYTES]) {
        let block = self.load(block);
        // SAFETY: the store covers the 64 bytes of `out` and needs no alignment; `self` proves AVX-512 VBMI2.
        unsafe {
            let compressed = _mm512_maskz_compress_epi8(mask, block);
            _mm512_storeu_si512(out.as_mut_ptr().cast(), compressed);
        }
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
}
