//! bf16: the upper half of a float. Tensors hold it, and where a CPU multiplies it, convolutions are made of it; sums are floats.

pub(crate) mod activation;
pub(crate) mod backward;
pub(crate) mod conv;
pub(crate) mod ring;
pub(crate) mod sources;
pub mod tiles;
pub(crate) mod walk;
pub(crate) mod weight_gradient;

/// The nearest bf16, the even one of two; subnormal numbers become zero, as in the instructions that convert. Not a number stays so.
#[inline(always)]
pub fn narrow(value: f32) -> u16 {
    let bits = value.to_bits();
    match bits & 0x7f80_0000 {
        0 => (bits >> 16) as u16 & 0x8000,
        0x7f80_0000 if bits & 0x007f_ffff != 0 => (bits >> 16) as u16 | 0x0040,
        _ => ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16,
    }
}

#[inline(always)]
pub fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// sum + one * other of two bf16 each, in words: the upper halves first. As in the instructions that do it, subnormal numbers count
/// as zero, in and out, and each addition rounds to nearest.
#[inline(always)]
pub fn dot(one: u32, other: u32, sum: f32) -> f32 {
    let upper = |word: u32| flushed(f32::from_bits(word & 0xffff_0000));
    let lower = |word: u32| flushed(f32::from_bits(word << 16));
    let first = multiply_add(upper(one), upper(other), flushed(sum));
    multiply_add(lower(one), lower(other), first)
}

/// a * b + c, rounded once: the product of two bf16 is exact in double precision, and so nearly is the sum.
#[inline(always)]
pub fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    flushed((f64::from(a) * f64::from(b) + f64::from(c)) as f32)
}

/// Zero with its sign instead of a subnormal number.
#[inline(always)]
pub fn flushed(value: f32) -> f32 {
    if value.is_subnormal() {
        return f32::from_bits(value.to_bits() & 0x8000_0000);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_ties_to_even() {
        for (value, expected) in [
            (1.0, 0x3f80),
            (f32::from_bits(0x3f80_8000), 0x3f80),
            (f32::from_bits(0x3f80_8001), 0x3f81),
            (f32::from_bits(0x3f81_8000), 0x3f82),
            (-0.0, 0x8000),
            (f32::MAX, 0x7f80),
            (f32::NEG_INFINITY, 0xff80),
            (f32::from_bits(0x7f80_0001), 0x7fc0),
            (-1e-40, 0x8000),
        ] {
            assert_eq!(narrow(value), expected, "{value}");
        }
        for upper in (0..=u16::MAX).filter(|&upper| upper & 0x7f80 != 0 && widen(upper).is_finite()) {
            assert_eq!(narrow(widen(upper)), upper);
        }
    }
}
