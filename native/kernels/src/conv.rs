//! The 3x3x3 convolution of a row, and its weights in the order in which it reads them.

use crate::factor::Factor;
use crate::fours::{separate, MIXED, TOGETHER};
use crate::lanes::Lanes;
use core::mem::MaybeUninit;

/// Output channels computed together: with two vectors of each, the accumulators fit sixteen registers, with four thirty-two.
pub const MOST_TOGETHER: usize = 5;

pub const MOST_CHANNELS: usize = 64;

/// Taps of a tap row.
pub const MOST_TAPS: usize = 3 * MOST_CHANNELS;

/// Calls `each(first, count)` for groups of at most `MOST_TOGETHER` channels, as even as can be.
#[inline(always)]
pub fn channel_groups(channels: usize, mut each: impl FnMut(usize, usize)) {
    let groups = channels.div_ceil(MOST_TOGETHER);
    let mut first = 0;
    for group in 0..groups {
        let count = channels / groups + usize::from(group < channels % groups);
        each(first, count);
        first += count;
    }
}

/// to = the weights (Co, Ci, 3, 3, 3) by groups of output channels, each (planes, 3, Ci, 3, group); `planes` is 3, or 6 for
/// `crate::fours`. `backward`: of the convolution that carries gradients back: inputs and outputs swapped, taps mirrored.
/// # Safety
/// `from` holds 27 * outputs * inputs floats, `to` 9 * planes * outputs * inputs.
pub unsafe fn pack(from: *const f32, to: *mut f32, outputs: usize, inputs: usize, planes: usize, backward: bool) {
    let mut next = to;
    channel_groups(outputs, |first, count| {
        for plane in 0..planes {
            for ky in 0..3 {
                for input in 0..inputs {
                    for kx in 0..3 {
                        for output in first..first + count {
                            let weight = |kz: usize| {
                                let tap = (kz * 3 + ky) * 3 + kx;
                                *from.add(if backward {
                                    (input * outputs + output) * 27 + 26 - tap
                                } else {
                                    (output * inputs + input) * 27 + tap
                                })
                            };
                            *next = if planes == 3 { weight(plane) } else { crate::fours::weight(plane, weight) };
                            next = next.add(1);
                        }
                    }
                }
            }
        }
    });
}

/// One of the rows that a row of the output is made of, of floats or of bf16.
#[derive(Clone, Copy)]
pub struct TapRow<T = f32> {
    /// Voxel 0 of channel 0 or of slot 0, less the dilation.
    pub from: *const T,
    /// plane * 3 + ky.
    pub index: usize,
}

#[derive(Clone, Copy)]
pub struct RowShape {
    /// Planes of the packed weights: 3, or the mixed ones.
    pub planes: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub dilation: usize,
    /// Of tap rows, from one input channel to the next, or from one slot to the next: in floats or in words of two bf16; of what the gradient
    /// by the weights reads, in floats or in bf16.
    pub input_pitch: usize,
    /// Floats of a row, a multiple of two vectors; from one output channel to the next.
    pub pitch: usize,
}

/// to (Co, pitch) = the sum over tap rows, inputs and kx of packed weights times shifted inputs. Overwrites.
/// # Safety
/// Tap rows hold `inputs` rows of pitch + 2 * dilation readable floats; `to` holds outputs * pitch.
#[inline(never)]
pub unsafe fn convolve_row<L: Lanes, T: Factor>(rows: &[TapRow<T>], weights: *const f32, to: *mut f32, s: &RowShape) {
    by_groups::<L, T, 1>(
        [rows],
        weights,
        s,
        #[inline(always)]
        |c, x, [[one], [next]]| {
            one.store(to.add(c * s.pitch + x));
            next.store(to.add(c * s.pitch + x + L::N));
        },
    );
}

/// The rows of four planes from the tap rows of their six mixed planes (see `crate::fours`). Overwrites.
/// # Safety
/// As `convolve_row`, for every row.
#[inline(never)]
pub unsafe fn convolve_four<L: Lanes, T: Factor>(
    rows: [&[TapRow<T>]; MIXED],
    weights: *const f32,
    to: [*mut f32; TOGETHER],
    s: &RowShape,
) {
    by_groups::<L, T, MIXED>(
        rows,
        weights,
        s,
        #[inline(always)]
        |c, x, [one, next]| {
            let (one, next) = (separate(one), separate(next));
            for t in 0..TOGETHER {
                one[t].store(to[t].add(c * s.pitch + x));
                next[t].store(to[t].add(c * s.pitch + x + L::N));
            }
        },
    );
}

/// Every group of output channels: `each(c, x, sums)` gets two vectors of the sums over each of M lists of tap rows. What `each` does is
/// inlined, and so begins while the products of the next vectors are on their way.
/// # Safety
/// Tap rows as in `convolve_row`.
#[inline(always)]
pub unsafe fn by_groups<L: Lanes, T: Factor, const M: usize>(
    rows: [&[TapRow<T>]; M],
    weights: *const f32,
    s: &RowShape,
    mut each: impl FnMut(usize, usize, [[L; M]; 2]),
) {
    L::enter(
        #[inline(always)]
        || {
            let mut taps = [0; MOST_TAPS];
            let taps = T::tap_offsets(&mut taps, s);
            channel_groups(
                s.outputs,
                #[inline(always)]
                |first, count| {
                    let weights = weights.add(3 * s.planes * taps.len() * first);
                    match count {
                        1 => convolve_group::<L, T, M, 1>(rows, weights, taps, s.pitch, first, &mut each),
                        2 => convolve_group::<L, T, M, 2>(rows, weights, taps, s.pitch, first, &mut each),
                        3 => convolve_group::<L, T, M, 3>(rows, weights, taps, s.pitch, first, &mut each),
                        4 => convolve_group::<L, T, M, 4>(rows, weights, taps, s.pitch, first, &mut each),
                        _ => convolve_group::<L, T, M, 5>(rows, weights, taps, s.pitch, first, &mut each),
                    }
                },
            );
        },
    )
}

#[inline(always)]
unsafe fn convolve_group<L: Lanes, T: Factor, const M: usize, const C: usize>(
    rows: [&[TapRow<T>]; M],
    weights: *const f32,
    taps: &[usize],
    pitch: usize,
    first: usize,
    each: &mut impl FnMut(usize, usize, [[L; M]; 2]),
) {
    let mut x = 0;
    while L::REGISTERS > 16 && x + 4 * L::N <= pitch {
        convolve_vectors::<L, T, M, C, 4>(rows, weights, taps, x, first, each);
        x += 4 * L::N;
    }
    while x < pitch {
        convolve_vectors::<L, T, M, C, 2>(rows, weights, taps, x, first, each);
        x += 2 * L::N;
    }
}

/// V vectors of C output channels. The sums of one list of tap rows fill the registers, so they wait in the first-level cache for
/// the others.
#[inline(always)]
unsafe fn convolve_vectors<L: Lanes, T: Factor, const M: usize, const C: usize, const V: usize>(
    rows: [&[TapRow<T>]; M],
    weights: *const f32,
    taps: &[usize],
    x: usize,
    first: usize,
    each: &mut impl FnMut(usize, usize, [[L; M]; 2]),
) {
    let mut waiting = [MaybeUninit::<[[L; V]; C]>::uninit(); M];
    for plane in 0..M {
        let mut sums = [[L::splat(0.0); V]; C];
        add_rows::<L, T, C, V>(&mut sums, rows[plane], taps, weights, x);
        waiting[plane].write(sums);
    }
    for c in 0..C {
        for v in (0..V).step_by(2) {
            let mut sums = [[L::splat(0.0); M]; 2];
            for plane in 0..M {
                let of = &(*waiting[plane].as_ptr())[c];
                (sums[0][plane], sums[1][plane]) = (of[v], of[v + 1]);
            }
            each(first + c, x + v * L::N, sums);
        }
    }
}

/// sums += the products of V vectors of each tap row with its weights. A tap an iteration, not unrolled: accumulators, inputs and
/// a weight just fit the registers.
#[inline(always)]
unsafe fn add_rows<L: Lanes, T: Factor, const C: usize, const V: usize>(
    sums: &mut [[L; V]; C],
    rows: &[TapRow<T>],
    taps: &[usize],
    weights: *const f32,
    x: usize,
) {
    for row in rows {
        let mut w = weights.add(row.index * taps.len() * C);
        let from = row.from.cast::<f32>().add(x);
        for &tap in taps {
            multiply::<L, T, C, V>(sums, from.add(tap), w);
            w = w.add(C);
        }
    }
}

#[inline(always)]
unsafe fn multiply<L: Lanes, T: Factor, const C: usize, const V: usize>(
    sums: &mut [[L; V]; C],
    from: *const f32,
    weights: *const f32,
) {
    let mut inputs = [L::splat(0.0); V];
    for v in 0..V {
        inputs[v] = L::load(from.add(v * L::N));
    }
    for c in 0..C {
        let w = L::splat(*weights.add(c));
        for v in 0..V {
            sums[c][v] = T::product(inputs[v], w, sums[c][v]);
        }
    }
}
