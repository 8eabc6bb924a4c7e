//! Four floats in a register of NEON, which every 64-bit ARM has.

use crate::lanes::Lanes;
use core::arch::aarch64::*;

#[derive(Clone, Copy)]
pub struct Neon(float32x4_t);

impl Lanes for Neon {
    const N: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn enter<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(vld1q_f32(from))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        vst1q_f32(to, self.0);
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { vdupq_n_f32(value) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { vdivq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { vbslq_f32(vcgtq_f32(other.0, self.0), other.0, self.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { vbslq_f32(vcltq_f32(other.0, self.0), other.0, self.0) })
    }
    #[inline(always)]
    fn round(self) -> Self {
        Self(unsafe { vrndnq_f32(self.0) })
    }
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        Self(unsafe { vreinterpretq_f32_u32(vcgtq_f32(self.0, other.0)) })
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        Self(unsafe { vreinterpretq_f32_u32(vceqq_f32(self.0, other.0)) })
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(unsafe { vbslq_f32(vreinterpretq_u32_f32(self.0), yes.0, no.0) })
    }
    #[inline(always)]
    fn exp2_integer(self) -> Self {
        unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(self.0), vdupq_n_s32(127));
            Self(vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }
    }
    #[inline(always)]
    fn split_exponent(self) -> (Self, Self) {
        unsafe {
            let bits = vreinterpretq_u32_f32(self.0);
            let exponent = vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32::<23>(bits)), vdupq_n_s32(126));
            let mantissa = vorrq_u32(vandq_u32(bits, vdupq_n_u32(0x007f_ffff)), vdupq_n_u32(0x3f00_0000));
            (Self(vreinterpretq_f32_u32(mantissa)), Self(vcvtq_f32_s32(exponent)))
        }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let halves = vadd_f32(vget_low_f32(self.0), vget_high_f32(self.0));
            vget_lane_f32::<0>(halves) + vget_lane_f32::<1>(halves)
        }
    }
    fn sqrt64(value: f64) -> f64 {
        value.sqrt()
    }
}
