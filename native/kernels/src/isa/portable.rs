//! Four floats in an array: what the crate's own tests run on, and any machine without a file of its own here.

use crate::lanes::Lanes;

#[derive(Clone, Copy)]
pub struct Portable([f32; 4]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(core::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(f))
    }
}

fn mask(yes: bool) -> f32 {
    f32::from_bits(if yes { u32::MAX } else { 0 })
}

impl Lanes for Portable {
    const N: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn enter<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(from.cast::<[f32; 4]>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        to.cast::<[f32; 4]>().write_unaligned(self.0)
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { b } else { a })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if b < a { b } else { a })
    }
    #[inline(always)]
    fn round(self) -> Self {
        self.map(|a| (a + 12582912.0) - 12582912.0)
    }
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        self.zip(other, |a, b| mask(a > b))
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        self.zip(other, |a, b| mask(a == b))
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(core::array::from_fn(|i| if self.0[i].to_bits() != 0 { yes.0[i] } else { no.0[i] }))
    }
    #[inline(always)]
    fn exp2_integer(self) -> Self {
        self.map(|a| f32::from_bits(((a as i32).wrapping_add(127) as u32) << 23))
    }
    #[inline(always)]
    fn split_exponent(self) -> (Self, Self) {
        (
            self.map(|a| f32::from_bits((a.to_bits() & 0x007f_ffff) | 0x3f00_0000)),
            self.map(|a| ((a.to_bits() >> 23) as i32 - 126) as f32),
        )
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
    }
    #[cfg(not(target_arch = "wasm32"))]
    fn sqrt64(value: f64) -> f64 {
        value.sqrt()
    }
    #[cfg(target_arch = "wasm32")]
    fn sqrt64(value: f64) -> f64 {
        super::wasm::Simd128::sqrt64(value)
    }
}
