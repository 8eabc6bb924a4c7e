//! What rows of rings hold, and how it is multiplied: floats, or bf16 two at a time.

use crate::bf16::conv::dots;
use crate::conv::{RowShape, MOST_TAPS};
use crate::lanes::Lanes;

pub trait Factor: Copy {
    /// The offsets of a tap row's taps in floats or words, in the order of packed weights: the first of `to`.
    fn tap_offsets<'a>(to: &'a mut [usize; MOST_TAPS], s: &RowShape) -> &'a [usize];
    /// How many a vector holds.
    fn count<L: Lanes>() -> usize;
    /// # Safety
    /// `from` holds as many.
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// sum + a * b; of bf16, the sum of both products of a word.
    /// # Safety
    /// As `Lanes::dot_bf16`.
    unsafe fn product<L: Lanes>(a: L, b: L, sum: L) -> L;
}

impl Factor for f32 {
    /// (inputs, 3).
    #[inline(always)]
    fn tap_offsets<'a>(to: &'a mut [usize; MOST_TAPS], s: &RowShape) -> &'a [usize] {
        let taps = &mut to[..3 * s.inputs];
        for (index, tap) in taps.iter_mut().enumerate() {
            *tap = index / 3 * s.input_pitch + index % 3 * s.dilation;
        }
        taps
    }
    #[inline(always)]
    fn count<L: Lanes>() -> usize {
        L::N
    }
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const f32) -> L {
        L::load(from)
    }
    #[inline(always)]
    unsafe fn product<L: Lanes>(a: L, b: L, sum: L) -> L {
        a.fma(b, sum)
    }
}

/// bf16.
impl Factor for u16 {
    /// Of words of two channels three; of the last of an odd number, whose words hold two taps, two.
    #[inline(always)]
    fn tap_offsets<'a>(to: &'a mut [usize; MOST_TAPS], s: &RowShape) -> &'a [usize] {
        let taps = &mut to[..dots(s.inputs)];
        for (dot, tap) in taps.iter_mut().enumerate() {
            let alone = s.inputs % 2 == 1 && dot / 3 == s.inputs / 2;
            *tap = dot / 3 * s.input_pitch + if alone { dot % 3 * 2 } else { dot % 3 } * s.dilation;
        }
        taps
    }
    #[inline(always)]
    fn count<L: Lanes>() -> usize {
        2 * L::N
    }
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u16) -> L {
        L::load(from.cast())
    }
    #[inline(always)]
    unsafe fn product<L: Lanes>(a: L, b: L, sum: L) -> L {
        a.dot_bf16(b, sum)
    }
}
