//! The 3x3x3 convolution of a row, and its weights in the order in which it reads them.

use crate::fours::{separate, MIXED, TOGETHER};
use crate::lanes::Lanes;
use core::mem::MaybeUninit;

/// Output channels computed together: with two vectors of each, the accumulators fit sixteen registers, with four thirty-two.
pub const MOST_TOGETHER: usize = 5;

pub const MOST_CHANNELS: usize = 64;

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

pub struct RowShape {
    /// Planes of the packed weights: 3 or 6.
    pub planes: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub dilation: usize,
    /// Floats from one input channel to the next.
    pub input_pitch: usize,
    /// Floats of a row, a multiple of two vectors; from one output channel to the next.
    pub pitch: usize,
}

/// to (Co, pitch) = the sum over tap rows, inputs and kx of packed weights times shifted inputs. Overwrites.
/// # Safety
/// Tap rows hold `inputs` rows of pitch + 2 * dilation readable floats; `to` holds outputs * pitch.
#[inline(never)]
pub unsafe fn convolve_row<L: Lanes>(rows: &[TapRow], weights: *const f32, to: *mut f32, s: &RowShape) {
    by_groups::<L, 1>(
        [rows],
        weights,
        s,
        #[inline(always)]
        |c, x, [sum]| sum.store(to.add(c * s.pitch + x)),
    );
}

/// The rows of four planes from the tap rows of their six mixed planes (see `crate::fours`). Overwrites.
/// # Safety
/// As `convolve_row`, for every row.
#[inline(never)]
pub unsafe fn convolve_four<L: Lanes>(rows: [&[TapRow]; MIXED], weights: *const f32, to: [*mut f32; TOGETHER], s: &RowShape) {
    each_four::<L>(
        rows,
        weights,
        s,
        #[inline(always)]
        |c, x, results| {
            for t in 0..TOGETHER {
                results[t].store(to[t].add(c * s.pitch + x));
            }
        },
    );
}

/// As `convolve_four`, but calls `each(c, x, results)` with every vector of the four planes instead of storing it. What `each` does is inlined, and
/// so begins while the products of the next vectors are on their way.
/// # Safety
/// As `convolve_row`.
#[inline(always)]
pub unsafe fn each_four<L: Lanes>(
    rows: [&[TapRow]; MIXED],
    weights: *const f32,
    s: &RowShape,
    mut each: impl FnMut(usize, usize, [L; TOGETHER]),
) {
    by_groups::<L, MIXED>(
        rows,
        weights,
        s,
        #[inline(always)]
        |c, x, sums| each(c, x, separate(sums)),
    );
}

/// Every group of output channels: `each(c, x, sums)` gets a vector of the sums over each of M lists of tap rows.
#[inline(always)]
unsafe fn by_groups<L: Lanes, const M: usize>(
    rows: [&[TapRow]; M],
    weights: *const f32,
    s: &RowShape,
    mut each: impl FnMut(usize, usize, [L; M]),
) {
    L::enter(
        #[inline(always)]
        || {
            let mut taps = [0; 3 * MOST_CHANNELS];
            let taps = tap_offsets(&mut taps, s);
            channel_groups(
                s.outputs,
                #[inline(always)]
                |first, count| {
                    let weights = weights.add(9 * s.planes * s.inputs * first);
                    match count {
                        1 => convolve_group::<L, M, 1>(rows, weights, taps, s.pitch, first, &mut each),
                        2 => convolve_group::<L, M, 2>(rows, weights, taps, s.pitch, first, &mut each),
                        3 => convolve_group::<L, M, 3>(rows, weights, taps, s.pitch, first, &mut each),
                        4 => convolve_group::<L, M, 4>(rows, weights, taps, s.pitch, first, &mut each),
                        _ => convolve_group::<L, M, 5>(rows, weights, taps, s.pitch, first, &mut each),
                    }
                },
            );
        },
    )
}

/// The offsets of a row's taps, (inputs, 3), in the first 3 * inputs of `to`.
#[inline(always)]
fn tap_offsets<'a>(to: &'a mut [usize; 3 * MOST_CHANNELS], s: &RowShape) -> &'a [usize] {
    let taps = &mut to[..3 * s.inputs];
    for (index, tap) in taps.iter_mut().enumerate() {
        *tap = index / 3 * s.input_pitch + index % 3 * s.dilation;
    }
    taps
}

#[inline(always)]
unsafe fn convolve_group<L: Lanes, const M: usize, const C: usize>(
    rows: [&[TapRow]; M],
    weights: *const f32,
    taps: &[usize],
    pitch: usize,
    first: usize,
    each: &mut impl FnMut(usize, usize, [L; M]),
) {
    let mut x = 0;
    while L::REGISTERS > 16 && x + 4 * L::N <= pitch {
        convolve_vectors::<L, M, C, 4>(rows, weights, taps, x, first, each);
        x += 4 * L::N;
    }
    while x < pitch {
        convolve_vectors::<L, M, C, 2>(rows, weights, taps, x, first, each);
        x += 2 * L::N;
    }
}

/// V vectors of C output channels. The sums of one list of tap rows fill the registers, so they wait in the first-level cache for
/// the others.
#[inline(always)]
unsafe fn convolve_vectors<L: Lanes, const M: usize, const C: usize, const V: usize>(
    rows: [&[TapRow]; M],
    weights: *const f32,
    taps: &[usize],
    x: usize,
    first: usize,
    each: &mut impl FnMut(usize, usize, [L; M]),
) {
    let mut waiting = [MaybeUninit::<[[L; V]; C]>::uninit(); M];
    for plane in 0..M {
        let mut sums = [[L::splat(0.0); V]; C];
        add_rows::<L, C, V>(&mut sums, rows[plane], taps, weights, x);
        waiting[plane].write(sums);
    }
    for c in 0..C {
        for v in 0..V {
            let mut sums = [L::splat(0.0); M];
            for plane in 0..M {
                sums[plane] = (*waiting[plane].as_ptr())[c][v];
            }
            each(first + c, x + v * L::N, sums);
        }
    }
}

/// sums += the products of V vectors of each tap row with its weights. A tap an iteration, not unrolled: accumulators, inputs and
/// a weight just fit the registers.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const C: usize, const V: usize>(
    sums: &mut [[L; V]; C],
    rows: &[TapRow],
    taps: &[usize],
    weights: *const f32,
    x: usize,
) {
    for row in rows {
        let mut w = weights.add(row.index * taps.len() * C);
        let from = row.from.add(x);
        for &tap in taps {
            multiply::<L, C, V>(sums, from.add(tap), w);
            w = w.add(C);
        }
    }
}

#[inline(always)]
unsafe fn multiply<L: Lanes, const C: usize, const V: usize>(sums: &mut [[L; V]; C], from: *const f32, weights: *const f32) {
    let mut inputs = [L::splat(0.0); V];
    for v in 0..V {
        inputs[v] = L::load(from.add(v * L::N));
    }
    for c in 0..C {
        let w = L::splat(*weights.add(c));
        for v in 0..V {
            sums[c][v] = inputs[v].fma(w, sums[c][v]);
        }
    }
}
