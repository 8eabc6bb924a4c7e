//! bf16: the upper half of a float. Tensors hold it, and where a CPU multiplies it, convolutions are made of it; sums are floats.

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
