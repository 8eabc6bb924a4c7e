//! The gradient by a convolution's weights: every row that it reads, in a ring, against every row that it reaches; both of floats,
//! or both of bf16.

use crate::conv::{channel_groups, RowShape, TapRow};
use crate::factor::Factor;
use crate::lanes::Lanes;

/// sums (9 * planes * Ci columns, Co) of vectors += for every column (tap row, input, kx) and output the products of their rows, over some
/// lines with the same taps: sums are loaded and stored once for all of them.
/// # Safety
/// Tap rows as in `convolve_row`; each `woven` holds what `weave` makes of the outputs, `sums` 9 * planes * inputs * outputs vectors.
#[inline(never)]
pub unsafe fn accumulate_rows<L: Lanes, T: Factor, const LINES: usize>(
    rows: [&[TapRow<T>]; LINES],
    woven: [*const T; LINES],
    sums: *mut f32,
    s: &RowShape,
) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                s.outputs,
                #[inline(always)]
                |first, count| {
                    let (mut woven, sums) = (woven, sums.add(first * L::N));
                    for woven in &mut woven {
                        *woven = woven.add(first * s.pitch);
                    }
                    match count {
                        1 => accumulate_group::<L, T, LINES, 1>(rows, woven, sums, s),
                        2 => accumulate_group::<L, T, LINES, 2>(rows, woven, sums, s),
                        3 => accumulate_group::<L, T, LINES, 3>(rows, woven, sums, s),
                        4 => accumulate_group::<L, T, LINES, 4>(rows, woven, sums, s),
                        _ => accumulate_group::<L, T, LINES, 5>(rows, woven, sums, s),
                    }
                },
            );
        },
    )
}

/// woven (M, channels * pitch) = what `mix` makes of T rows (channels, pitch), one after the other at `rows`. The channels of a
/// group are woven vector by vector, so that one address serves them all.
/// # Safety
/// The memory is that large; the pitch is a multiple of the lanes.
#[inline(always)]
pub unsafe fn weave<L: Lanes, const T: usize, const M: usize>(
    rows: *const f32,
    woven: *mut f32,
    channels: usize,
    pitch: usize,
    mix: impl Fn([L; T]) -> [L; M],
) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                channels,
                #[inline(always)]
                |first, count| {
                    for c in 0..count {
                        for v in 0..pitch / L::N {
                            let mut values = [L::splat(0.0); T];
                            for t in 0..T {
                                values[t] = L::load(rows.add((t * channels + first + c) * pitch + v * L::N));
                            }
                            let mixed = mix(values);
                            for m in 0..M {
                                mixed[m].store(woven.add((m * channels + first) * pitch + (v * count + c) * L::N));
                            }
                        }
                    }
                },
            );
        },
    )
}

/// Columns whose products are added up together, where there are registers.
const MOST_COLUMNS: usize = 5;

/// Columns in pairs, or fives where there are registers, so that a load of the outputs serves as many products.
#[inline(always)]
unsafe fn accumulate_group<L: Lanes, T: Factor, const LINES: usize, const C: usize>(
    rows: [&[TapRow<T>]; LINES],
    woven: [*const T; LINES],
    sums: *mut f32,
    s: &RowShape,
) {
    let mut from = [[core::ptr::null(); MOST_COLUMNS]; LINES];
    let mut to = [core::ptr::null_mut(); MOST_COLUMNS];
    let most = if L::REGISTERS > 16 { MOST_COLUMNS } else { 2 };
    let mut count = 0;
    for r in 0..rows[0].len() {
        let mut sums = sums.add(rows[0][r].index * s.inputs * 3 * s.outputs * L::N);
        for input in 0..s.inputs {
            for kx in 0..3 {
                for line in 0..LINES {
                    from[line][count] = rows[line][r].from.add(input * s.input_pitch + kx * s.dilation);
                }
                to[count] = sums;
                sums = sums.add(s.outputs * L::N);
                count += 1;
                if count == most {
                    some_products::<L, T, LINES, C>(from, woven, to, count, s.pitch);
                    count = 0;
                }
            }
        }
    }
    some_products::<L, T, LINES, C>(from, woven, to, count, s.pitch);
}

/// `products` of so many columns.
#[inline(always)]
unsafe fn some_products<L: Lanes, T: Factor, const LINES: usize, const C: usize>(
    from: [[*const T; MOST_COLUMNS]; LINES],
    woven: [*const T; LINES],
    to: [*mut f32; MOST_COLUMNS],
    count: usize,
    pitch: usize,
) {
    let mut k = 0;
    if L::REGISTERS > 16 && count == MOST_COLUMNS {
        return products::<L, T, LINES, C, MOST_COLUMNS>(from, woven, to, pitch);
    }
    while k + 2 <= count {
        let mut two = [[core::ptr::null(); 2]; LINES];
        for line in 0..LINES {
            two[line] = [from[line][k], from[line][k + 1]];
        }
        products::<L, T, LINES, C, 2>(two, woven, [to[k], to[k + 1]], pitch);
        k += 2;
    }
    if k < count {
        let mut one = [[core::ptr::null(); 1]; LINES];
        for line in 0..LINES {
            one[line] = [from[line][k]];
        }
        products::<L, T, LINES, C, 1>(one, woven, [to[k]], pitch);
    }
}

#[inline(always)]
unsafe fn products<L: Lanes, T: Factor, const LINES: usize, const C: usize, const COLUMNS: usize>(
    from: [[*const T; COLUMNS]; LINES],
    woven: [*const T; LINES],
    to: [*mut f32; COLUMNS],
    pitch: usize,
) {
    // Loops, not `array::from_fn`: what is not inlined here is compiled without the instruction set.
    let mut sums = [[L::splat(0.0); C]; COLUMNS];
    for k in 0..COLUMNS {
        for c in 0..C {
            sums[k][c] = L::load(to[k].add(c * L::N));
        }
    }
    for line in 0..LINES {
        let (mut from, mut woven) = (from[line], woven[line]);
        for _ in 0..pitch / T::count::<L>() {
            let mut inputs = [L::splat(0.0); COLUMNS];
            for k in 0..COLUMNS {
                inputs[k] = T::load::<L>(from[k]);
            }
            for c in 0..C {
                let g = T::load::<L>(woven.add(c * T::count::<L>()));
                for k in 0..COLUMNS {
                    sums[k][c] = T::product(inputs[k], g, sums[k][c]);
                }
            }
            for from in &mut from {
                *from = from.add(T::count::<L>());
            }
            woven = woven.add(C * T::count::<L>());
        }
    }
    for k in 0..COLUMNS {
        for c in 0..C {
            sums[k][c].store(to[k].add(c * L::N));
        }
    }
}

/// totals += the vectors' sums; clears the vectors.
/// # Safety
/// `sums` holds `count` vectors, `totals` as many doubles.
pub unsafe fn flush<L: Lanes>(sums: *mut f32, totals: *mut f64, count: usize) {
    L::enter(
        #[inline(always)]
        || {
            for i in 0..count {
                *totals.add(i) += f64::from(L::load(sums.add(i * L::N)).sum());
                L::splat(0.0).store(sums.add(i * L::N));
            }
        },
    )
}
