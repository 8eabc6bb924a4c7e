//! The 3x3x3 convolution of a row, and its weights in the order in which it reads them.

use crate::lanes::Lanes;

/// Output channels computed together: with two vectors of each, the accumulators fit the registers.
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

/// to = the weights (Co, Ci, 3, 3, 3) by groups of output channels, each (planes, 3, Ci, 3, group); `planes` is 3, or 4 for
/// `crate::pairs`. `backward`: of the convolution that carries gradients back: inputs and outputs swapped, taps mirrored.
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
                            *next = if planes == 3 { weight(plane) } else { crate::pairs::weight(plane, weight) };
                            next = next.add(1);
                        }
                    }
                }
            }
        }
    });
}

/// One of the rows that a row of the output is made of.
#[derive(Clone, Copy)]
pub struct TapRow {
    /// Voxel 0 of channel 0, less the dilation.
    pub from: *const f32,
    /// plane * 3 + ky.
    pub index: usize,
}

pub struct RowShape {
    /// Planes of the packed weights: 3 or 4.
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
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                s.outputs,
                #[inline(always)]
                |first, count| {
                    let weights = weights.add(9 * s.planes * s.inputs * first);
                    let to = to.add(first * s.pitch);
                    match count {
                        1 => convolve_group::<L, 1>(rows, weights, to, s),
                        2 => convolve_group::<L, 2>(rows, weights, to, s),
                        3 => convolve_group::<L, 3>(rows, weights, to, s),
                        4 => convolve_group::<L, 4>(rows, weights, to, s),
                        _ => convolve_group::<L, 5>(rows, weights, to, s),
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
unsafe fn convolve_group<L: Lanes, const C: usize>(rows: &[TapRow], weights: *const f32, to: *mut f32, s: &RowShape) {
    let mut taps = [0; 3 * MOST_CHANNELS];
    let taps = tap_offsets(&mut taps, s);
    let mut x = 0;
    while x < s.pitch {
        let mut sums = [[L::splat(0.0); 2]; C];
        add_rows::<L, C>(&mut sums, rows, taps, weights, x);
        for (c, [a, b]) in sums.into_iter().enumerate() {
            a.store(to.add(c * s.pitch + x));
            b.store(to.add(c * s.pitch + x + L::N));
        }
        x += 2 * L::N;
    }
}

/// sums += the products of two vectors of each tap row with its weights. A tap an iteration, not unrolled: accumulators, two
/// inputs and a weight just fit sixteen registers.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const C: usize>(
    sums: &mut [[L; 2]; C],
    rows: &[TapRow],
    taps: &[usize],
    weights: *const f32,
    x: usize,
) {
    for row in rows {
        let mut w = weights.add(row.index * taps.len() * C);
        let from = row.from.add(x);
        for &tap in taps {
            multiply::<L, C>(sums, from.add(tap), w);
            w = w.add(C);
        }
    }
}

/// The two rows of a pair of planes from the tap rows of its four mixed planes (see `crate::pairs`), their results added in
/// registers, which takes more of them than sixteen. Overwrites.
/// # Safety
/// As `convolve_row`, for both.
#[inline(never)]
pub unsafe fn convolve_pair<L: Lanes>(
    rows: [&[TapRow]; 4],
    weights: *const f32,
    first: *mut f32,
    second: *mut f32,
    s: &RowShape,
) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                s.outputs,
                #[inline(always)]
                |at, count| {
                    let weights = weights.add(9 * s.planes * s.inputs * at);
                    let (first, second) = (first.add(at * s.pitch), second.add(at * s.pitch));
                    match count {
                        1 => convolve_pair_group::<L, 1>(rows, weights, first, second, s),
                        2 => convolve_pair_group::<L, 2>(rows, weights, first, second, s),
                        3 => convolve_pair_group::<L, 3>(rows, weights, first, second, s),
                        4 => convolve_pair_group::<L, 4>(rows, weights, first, second, s),
                        _ => convolve_pair_group::<L, 5>(rows, weights, first, second, s),
                    }
                },
            );
        },
    )
}

#[inline(always)]
unsafe fn convolve_pair_group<L: Lanes, const C: usize>(
    [d0, d1, d2, d3]: [&[TapRow]; 4],
    weights: *const f32,
    first: *mut f32,
    second: *mut f32,
    s: &RowShape,
) {
    let mut taps = [0; 3 * MOST_CHANNELS];
    let taps = tap_offsets(&mut taps, s);
    let zero = L::splat(0.0);
    let mut x = 0;
    while x < s.pitch {
        // a is the first plane's sum, b the second's with its sign changed.
        let (mut a, mut b) = ([[zero; 2]; C], [[zero; 2]; C]);
        add_rows::<L, C>(&mut a, d1, taps, weights, x);
        add_rows::<L, C>(&mut b, d2, taps, weights, x);
        for c in 0..C {
            for v in 0..2 {
                (a[c][v], b[c][v]) = (a[c][v].add(b[c][v]), b[c][v].sub(a[c][v]));
            }
        }
        add_rows::<L, C>(&mut a, d0, taps, weights, x);
        add_rows::<L, C>(&mut b, d3, taps, weights, x);
        for c in 0..C {
            for v in 0..2 {
                let at = c * s.pitch + x + v * L::N;
                a[c][v].store(first.add(at));
                zero.sub(b[c][v]).store(second.add(at));
            }
        }
        x += 2 * L::N;
    }
}

#[inline(always)]
unsafe fn multiply<L: Lanes, const C: usize>(sums: &mut [[L; 2]; C], from: *const f32, weights: *const f32) {
    let (a, b) = (L::load(from), L::load(from.add(L::N)));
    for (c, [sum_a, sum_b]) in sums.iter_mut().enumerate() {
        let w = L::splat(*weights.add(c));
        *sum_a = a.fma(w, *sum_a);
        *sum_b = b.fma(w, *sum_b);
    }
}
