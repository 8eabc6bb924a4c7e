//! The 3x3x3 convolution of a row by dot products: as `crate::conv`, two channels or two taps a multiply.

use crate::bf16::narrow;
use crate::conv::{channel_groups, RowShape, TapRow, MOST_CHANNELS};
use crate::lanes::Lanes;

/// Dot products that a tap row takes: three for two channels, and two for the last of an odd number.
pub fn dots(inputs: usize) -> usize {
    inputs / 2 * 3 + inputs % 2 * 2
}

/// to = the weights (Co, Ci, 3, 3, 3) by groups of output channels, each (planes, 3, dots, group) words of two bf16; otherwise as
/// `crate::conv::pack`.
/// # Safety
/// `from` holds 27 * outputs * inputs floats, `to` 3 * planes * dots * outputs.
pub unsafe fn pack(from: *const f32, to: *mut f32, outputs: usize, inputs: usize, planes: usize, backward: bool) {
    let mut next = to.cast::<u32>();
    channel_groups(outputs, |first, count| {
        for plane in 0..planes {
            for ky in 0..3 {
                for dot in 0..dots(inputs) {
                    // Each half: an input and kx.
                    let halves = match inputs - (dot / 3 * 2).min(inputs - 1) {
                        1 if dot % 3 == 0 => [Some((inputs - 1, 0)), Some((inputs - 1, 1))],
                        1 => [Some((inputs - 1, 2)), None],
                        _ => [Some((dot / 3 * 2, dot % 3)), Some((dot / 3 * 2 + 1, dot % 3))],
                    };
                    for output in first..first + count {
                        let weight = |(input, kx): (usize, usize)| {
                            let of = |kz: usize| {
                                let tap = (kz * 3 + ky) * 3 + kx;
                                *from.add(if backward {
                                    (input * outputs + output) * 27 + 26 - tap
                                } else {
                                    (output * inputs + input) * 27 + tap
                                })
                            };
                            narrow(if planes == 3 { of(plane) } else { crate::bf16::pairs::weight(plane, of) })
                        };
                        let [low, high] = halves.map(|half| half.map_or(0, weight));
                        *next = u32::from(high) << 16 | u32::from(low);
                        next = next.add(1);
                    }
                }
            }
        }
    });
}

/// to (Co, pitch) = the sum over tap rows and dots of packed weights times shifted inputs. Overwrites.
/// # Safety
/// Tap rows hold the paired slots of `inputs` channels; `to` holds outputs * pitch.
#[inline(never)]
pub unsafe fn convolve_row<L: Lanes>(rows: &[TapRow<u16>], weights: *const f32, to: *mut f32, s: &RowShape) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                s.outputs,
                #[inline(always)]
                |first, count| {
                    let weights = weights.add(3 * s.planes * dots(s.inputs) * first);
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

/// The two rows of a pair of planes from the tap rows of its four mixed planes. Overwrites.
/// # Safety
/// As `convolve_row`, for both.
#[inline(never)]
pub unsafe fn convolve_pair<L: Lanes>(
    rows: [&[TapRow<u16>]; 4],
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
                    let weights = weights.add(3 * s.planes * dots(s.inputs) * at);
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

const MOST_DOTS: usize = 3 * MOST_CHANNELS / 2 + 2;

/// The offsets in words of a tap row's dots, in the first of `to`.
#[inline(always)]
fn offsets<'a>(to: &'a mut [usize; MOST_DOTS], s: &RowShape) -> &'a [usize] {
    let of = &mut to[..dots(s.inputs)];
    for (dot, offset) in of.iter_mut().enumerate() {
        let alone = s.inputs % 2 == 1 && dot / 3 == s.inputs / 2;
        *offset = dot / 3 * s.input_pitch + if alone { dot % 3 * 2 } else { dot % 3 } * s.dilation;
    }
    of
}

#[inline(always)]
unsafe fn convolve_group<L: Lanes, const C: usize>(rows: &[TapRow<u16>], weights: *const f32, to: *mut f32, s: &RowShape) {
    let mut taps = [0; MOST_DOTS];
    let taps = offsets(&mut taps, s);
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

#[inline(always)]
unsafe fn convolve_pair_group<L: Lanes, const C: usize>(
    [d0, d1, d2, d3]: [&[TapRow<u16>]; 4],
    weights: *const f32,
    first: *mut f32,
    second: *mut f32,
    s: &RowShape,
) {
    let mut taps = [0; MOST_DOTS];
    let taps = offsets(&mut taps, s);
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

/// sums += the dot products of two vectors of each tap row with its weights.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const C: usize>(
    sums: &mut [[L; 2]; C],
    rows: &[TapRow<u16>],
    taps: &[usize],
    weights: *const f32,
    x: usize,
) {
    for row in rows {
        let mut w = weights.add(row.index * taps.len() * C);
        let from = row.from.cast::<f32>().add(x);
        for &tap in taps {
            let (a, b) = (L::load(from.add(tap)), L::load(from.add(tap + L::N)));
            for (c, [sum_a, sum_b]) in sums.iter_mut().enumerate() {
                let w = L::splat(*w.add(c));
                *sum_a = a.dot_bf16(w, *sum_a);
                *sum_b = b.dot_bf16(w, *sum_b);
            }
            w = w.add(C);
        }
    }
}
