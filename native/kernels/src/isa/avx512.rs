//! Sixteen floats in a register of AVX-512.

use crate::lanes::Lanes;
use core::arch::asm;
use core::arch::x86_64::*;

/// `BF16`: of a CPU that multiplies bf16 too (AVX512_BF16).
#[derive(Clone, Copy)]
pub struct Registers<const BF16: bool>(__m512);
pub type Avx512 = Registers<false>;
pub type Avx512Bf16 = Registers<true>;

/// An order of halves: i and i + `apart` in turn.
const fn in_turn<const N: usize>(apart: usize) -> [u16; N] {
    let mut order = [0; N];
    let mut i = 0;
    while i < N {
        order[i] = (i / 2 + i % 2 * apart) as u16;
        i += 1;
    }
    order
}
/// The lower and the upper halves of a register interleaved.
static PAIRS: [u16; 32] = in_turn(16);
/// Two registers interleaved, for the words of their lower and of their upper halves.
static INTERLEAVE: [u16; 64] = in_turn(32);
/// Each of a register's first sixteen halves twice, and each of the others.
static TWICE: [u16; 64] = in_turn(0);

/// Words whose upper halves are sixteen of the halves, as the 32 of `twice` order them, the lower ones zero. One instruction, and not of the port that Intel's
/// multiply-adds need most, where the intrinsic becomes two.
#[inline]
#[target_feature(enable = "avx512bw,avx512f")]
unsafe fn upper_halves(halves: __m512i, twice: *const u16) -> __m512i {
    let upper;
    asm!(
        "vpermw {upper}{{{odd}}}{{z}}, {twice}, {halves}",
        upper = lateout(zmm_reg) upper,
        odd = in(kreg) 0xaaaa_aaaa_u32,
        twice = in(zmm_reg) _mm512_loadu_si512(twice.cast()),
        halves = in(zmm_reg) halves,
        options(pure, nomem, nostack, preserves_flags)
    );
    upper
}

/// A mask as a register: all bits of a lane, or none.
#[inline(always)]
unsafe fn as_lanes<const BF16: bool>(mask: __mmask16) -> Registers<BF16> {
    Registers(_mm512_castsi512_ps(_mm512_maskz_set1_epi32(mask, -1)))
}

impl<const BF16: bool> Registers<BF16> {
    #[inline(always)]
    unsafe fn widen(halves: __m256i) -> Self {
        Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))))
    }
    /// As `bf16::narrow`.
    #[inline(always)]
    unsafe fn narrow(self) -> __m256i {
        if BF16 {
            return core::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0));
        }
        let bits = _mm512_castps_si512(self.0);
        let subnormal = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f80_0000));
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let rounded = _mm512_mask_and_epi32(rounded, subnormal, bits, _mm512_set1_epi32(i32::MIN));
        let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
        let rounded = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x0040_0000));
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
    }
}

impl<const BF16: bool> Lanes for Registers<BF16> {
    const N: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn enter<R>(work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
        unsafe fn compiled<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx512bf16,avx512bw,avx512f,avx512dq,avx512vl,avx2,fma")]
        unsafe fn compiled_with_bf16<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if BF16 {
            return compiled_with_bf16(work);
        }
        compiled(work)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(_mm512_loadu_ps(from))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self.0);
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        _mm512_stream_ps(to, self.0);
    }
    #[inline(always)]
    fn end_streams() {
        unsafe { _mm_sfence() };
    }
    #[inline(always)]
    fn prefetch<T>(from: *const T) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) };
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        let halves = _mm256_loadu_si256(from.cast());
        if BF16 {
            let upper = upper_halves(_mm512_castsi256_si512(halves), TWICE.as_ptr());
            return Self(_mm512_castsi512_ps(upper));
        }
        Self::widen(halves)
    }
    #[inline(always)]
    unsafe fn load_two_bf16(from: *const u16) -> [Self; 2] {
        if !BF16 {
            return [Self::load_bf16(from), Self::load_bf16(from.add(16))];
        }
        let halves = _mm512_loadu_si512(from.cast());
        let (one, next) = (upper_halves(halves, TWICE.as_ptr()), upper_halves(halves, TWICE.as_ptr().add(32)));
        [Self(_mm512_castsi512_ps(one)), Self(_mm512_castsi512_ps(next))]
    }
    #[inline(always)]
    unsafe fn pair_bf16(self, upper: Self) -> Self {
        let halves = _mm512_castps_si512(self.narrow_two(upper).0);
        let order = _mm512_loadu_si512(PAIRS.as_ptr().cast());
        Self(_mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves)))
    }
    #[inline(always)]
    unsafe fn narrow_two(self, next: Self) -> Self {
        if BF16 {
            return core::mem::transmute::<__m512bh, Self>(_mm512_cvtne2ps_pbh(next.0, self.0));
        }
        let halves = _mm512_castsi256_si512(self.narrow());
        Self(_mm512_castsi512_ps(_mm512_inserti64x4::<1>(halves, next.narrow())))
    }
    #[inline(always)]
    unsafe fn interleave_bf16(self, upper: Self) -> [Self; 2] {
        let (low, high) = (_mm512_castps_si512(self.0), _mm512_castps_si512(upper.0));
        let mut words = [self; 2];
        for half in 0..2 {
            let order = _mm512_loadu_si512(INTERLEAVE.as_ptr().add(32 * half).cast());
            words[half] = Self(_mm512_castsi512_ps(_mm512_permutex2var_epi16(low, order, high)));
        }
        words
    }
    #[inline(always)]
    unsafe fn dot_bf16(self, other: Self, sum: Self) -> Self {
        if BF16 {
            let of = |lanes: Self| core::mem::transmute::<__m512, __m512bh>(lanes.0);
            return Self(_mm512_dpbf16_ps(sum.0, of(self), of(other)));
        }
        let (mut a, mut b, mut sums) = ([0.0f32; 16], [0.0f32; 16], [0.0f32; 16]);
        self.store(a.as_mut_ptr());
        other.store(b.as_mut_ptr());
        sum.store(sums.as_mut_ptr());
        for i in 0..16 {
            sums[i] = crate::bf16::dot(a[i].to_bits(), b[i].to_bits(), sums[i]);
        }
        Self::load(sums.as_ptr())
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        _mm256_storeu_si256(to.cast(), self.narrow());
    }
    #[inline(always)]
    unsafe fn stream_bf16(self, to: *mut u16) {
        _mm256_stream_si256(to.cast(), self.narrow());
    }
    #[inline(always)]
    unsafe fn put_two_bf16(self, next: Self, to: *mut u16, streamed: bool) {
        if !BF16 {
            self.put_bf16(to, streamed);
            return next.put_bf16(to.add(16), streamed);
        }
        let halves = self.narrow_two(next);
        if streamed {
            halves.stream(to.cast());
        } else {
            halves.store(to.cast());
        }
    }
    #[inline(always)]
    unsafe fn slide(from: *const u32, to: *mut u32, by: isize, swap: bool) {
        let places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let from_places = _mm512_add_epi32(places, _mm512_set1_epi32(by as i32));
        let there = _mm512_cmplt_epu32_mask(from_places, _mm512_set1_epi32(16));
        let words = _mm512_maskz_permutexvar_epi32(there, from_places, _mm512_loadu_si512(from.cast()));
        let words = if swap { _mm512_rol_epi32::<16>(words) } else { words };
        _mm512_storeu_si512(to.cast(), words);
    }
    #[inline(always)]
    unsafe fn blend_halves(low: *const u32, high: *const u32, to: *mut u32) {
        let (low, high) = (_mm512_loadu_si512(low.cast()), _mm512_loadu_si512(high.cast()));
        // Bit by bit: the mask's ones take from `low`.
        let words = _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(0xffff), low, high);
        _mm512_storeu_si512(to.cast(), words);
    }
    #[inline(always)]
    unsafe fn transpose(rows: [*const u32; 16], to: *mut u32, stride: usize) {
        let mut v = rows.map(|row| _mm512_loadu_si512(row.cast()));
        // Quarters of 4 x 4 words first, then the quarters among each other.
        for i in (0..16).step_by(4) {
            let (ab, cd) = (_mm512_unpacklo_epi32(v[i], v[i + 1]), _mm512_unpacklo_epi32(v[i + 2], v[i + 3]));
            let (ef, gh) = (_mm512_unpackhi_epi32(v[i], v[i + 1]), _mm512_unpackhi_epi32(v[i + 2], v[i + 3]));
            v[i] = _mm512_unpacklo_epi64(ab, cd);
            v[i + 1] = _mm512_unpackhi_epi64(ab, cd);
            v[i + 2] = _mm512_unpacklo_epi64(ef, gh);
            v[i + 3] = _mm512_unpackhi_epi64(ef, gh);
        }
        for i in 0..4 {
            let (a, b) = (_mm512_shuffle_i32x4::<0x88>(v[i], v[i + 4]), _mm512_shuffle_i32x4::<0xdd>(v[i], v[i + 4]));
            let (c, d) = (_mm512_shuffle_i32x4::<0x88>(v[i + 8], v[i + 12]), _mm512_shuffle_i32x4::<0xdd>(v[i + 8], v[i + 12]));
            _mm512_storeu_si512(to.add(stride * i).cast(), _mm512_shuffle_i32x4::<0x88>(a, c));
            _mm512_storeu_si512(to.add(stride * (i + 4)).cast(), _mm512_shuffle_i32x4::<0x88>(b, d));
            _mm512_storeu_si512(to.add(stride * (i + 8)).cast(), _mm512_shuffle_i32x4::<0xdd>(a, c));
            _mm512_storeu_si512(to.add(stride * (i + 12)).cast(), _mm512_shuffle_i32x4::<0xdd>(b, d));
        }
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }
    // The instructions give their second operand when either is not a number.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(other.0, self.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm512_min_ps(other.0, self.0) })
    }
    #[inline(always)]
    fn round(self) -> Self {
        Self(unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
    }
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        unsafe { as_lanes(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0)) }
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        unsafe { as_lanes(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0)) }
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        unsafe {
            let mask = _mm512_movepi32_mask(_mm512_castps_si512(self.0));
            Self(_mm512_mask_blend_ps(mask, no.0, yes.0))
        }
    }
    #[inline(always)]
    fn exp2_integer(self) -> Self {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
        }
    }
    #[inline(always)]
    fn times_power(self, power: Self) -> Self {
        Self(unsafe { _mm512_scalef_ps(self.0, power.0) })
    }
    #[inline(always)]
    fn fraction_and_power(self) -> (Self, Self) {
        // `times_power` takes what is whole of it.
        (Self(unsafe { _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0) }), self)
    }
    #[inline(always)]
    fn split_exponent(self) -> (Self, Self) {
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let exponent = _mm512_sub_epi32(_mm512_srli_epi32::<23>(bits), _mm512_set1_epi32(126));
            let fraction = _mm512_and_si512(bits, _mm512_set1_epi32(0x007f_ffff));
            let mantissa = _mm512_or_si512(fraction, _mm512_set1_epi32(0x3f00_0000));
            (Self(_mm512_castsi512_ps(mantissa)), Self(_mm512_cvtepi32_ps(exponent)))
        }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let high = _mm512_extractf32x8_ps::<1>(self.0);
            super::avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(self.0), high))
        }
    }
    fn sqrt64(value: f64) -> f64 {
        value.sqrt()
    }
}
