//! WebAssembly's 128-bit vectors; with relaxed SIMD a product and a sum may be rounded once.

use crate::lanes::Lanes;
use core::arch::wasm32::*;

#[derive(Clone, Copy)]
pub struct Simd128(v128);

impl Lanes for Simd128 {
    const N: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn enter<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(v128_load(from.cast()))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        v128_store(to.cast(), self.0)
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(f32x4_div(self.0, other.0))
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(f32x4_relaxed_madd(self.0, factor.0, addend.0))
    }
    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(f32x4_add(f32x4_mul(self.0, factor.0), addend.0))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(f32x4_pmax(self.0, other.0))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(f32x4_pmin(self.0, other.0))
    }
    #[inline(always)]
    fn round(self) -> Self {
        Self(f32x4_nearest(self.0))
    }
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        Self(f32x4_gt(self.0, other.0))
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        Self(f32x4_eq(self.0, other.0))
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(v128_bitselect(yes.0, no.0, self.0))
    }
    #[inline(always)]
    fn exp2_integer(self) -> Self {
        // Adding 1.5 * 2^23 leaves the integer in the low bits; a conversion costs several instructions on x86.
        let bits = f32x4_add(self.0, f32x4_splat(12582912.0));
        Self(i32x4_shl(i32x4_add(bits, i32x4_splat(127)), 23))
    }
    #[inline(always)]
    fn split_exponent(self) -> (Self, Self) {
        let exponent = i32x4_sub(u32x4_shr(self.0, 23), i32x4_splat(126));
        let mantissa = v128_or(v128_and(self.0, i32x4_splat(0x007f_ffff)), i32x4_splat(0x3f00_0000));
        (Self(mantissa), Self(f32x4_convert_i32x4(exponent)))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let v = self.0;
        (f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<2>(v)) + (f32x4_extract_lane::<1>(v) + f32x4_extract_lane::<3>(v))
    }
    #[inline(always)]
    fn sqrt64(value: f64) -> f64 {
        f64x2_extract_lane::<0>(f64x2_sqrt(f64x2_splat(value)))
    }
}
