//! The gradient by a convolution's weights by dot products of neighbours along x: as `crate::weight_gradient`.

use crate::bf16::conv::DotRow;
use crate::conv::{channel_groups, RowShape};
use crate::lanes::Lanes;

/// sums (9 * planes * Ci columns, Co) of vectors += for every column (tap row, input, kx) and output the products of their rows.
/// # Safety
/// Tap rows hold planar slots; `gradient` holds (outputs, pitch) floats, `woven` room for as many, `sums` 9 * planes * inputs *
/// outputs vectors.
#[inline(never)]
pub unsafe fn accumulate_row<L: Lanes>(rows: &[DotRow], gradient: *const f32, woven: *mut f32, sums: *mut f32, s: &RowShape) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                s.outputs,
                #[inline(always)]
                |first, count| {
                    let gradient = gradient.add(first * s.pitch);
                    let sums = sums.add(first * L::N);
                    match count {
                        1 => accumulate_group::<L, 1>(rows, gradient, woven, sums, s),
                        2 => accumulate_group::<L, 2>(rows, gradient, woven, sums, s),
                        3 => accumulate_group::<L, 3>(rows, gradient, woven, sums, s),
                        4 => accumulate_group::<L, 4>(rows, gradient, woven, sums, s),
                        _ => accumulate_group::<L, 5>(rows, gradient, woven, sums, s),
                    }
                },
            );
        },
    )
}

#[inline(always)]
unsafe fn accumulate_group<L: Lanes, const C: usize>(
    rows: &[DotRow],
    gradient: *const f32,
    woven: *mut f32,
    sums: *mut f32,
    s: &RowShape,
) {
    // A vector holds two of floats.
    let steps = s.pitch / (2 * L::N);
    for c in 0..C {
        for v in 0..steps {
            let (from, to) = (gradient.add(c * s.pitch + 2 * v * L::N), woven.add((v * C + c) * L::N).cast::<u16>());
            L::load(from).store_bf16(to);
            L::load(from.add(L::N)).store_bf16(to.add(L::N));
        }
    }
    let total = rows.len() * s.inputs * 3;
    let column = |index: usize| {
        let (row, rest) = (rows[index / (3 * s.inputs)], index % (3 * s.inputs));
        let from = row.from.add(rest / 3 * s.input_pitch + rest % 3 * s.dilation);
        (from, sums.add((row.index * s.inputs * 3 + rest) * s.outputs * L::N))
    };
    let mut index = 0;
    while L::REGISTERS > 16 && index + 5 <= total {
        let (mut from, mut to) = ([core::ptr::null(); 5], [core::ptr::null_mut(); 5]);
        for k in 0..5 {
            (from[k], to[k]) = column(index + k);
        }
        products::<L, C, 5>(from, woven, to, steps);
        index += 5;
    }
    while index < total {
        let (from, to) = column(index);
        products::<L, C, 1>([from], woven, [to], steps);
        index += 1;
    }
}

#[inline(always)]
unsafe fn products<L: Lanes, const C: usize, const COLUMNS: usize>(
    mut from: [*const u16; COLUMNS],
    mut woven: *const f32,
    to: [*mut f32; COLUMNS],
    steps: usize,
) {
    let mut sums = [[L::splat(0.0); C]; COLUMNS];
    for k in 0..COLUMNS {
        for c in 0..C {
            sums[k][c] = L::load(to[k].add(c * L::N));
        }
    }
    for _ in 0..steps {
        let mut inputs = [L::splat(0.0); COLUMNS];
        for k in 0..COLUMNS {
            inputs[k] = L::load(from[k].cast());
        }
        for c in 0..C {
            let g = L::load(woven.add(c * L::N));
            for k in 0..COLUMNS {
                sums[k][c] = inputs[k].dot_bf16(g, sums[k][c]);
            }
        }
        for from in &mut from {
            *from = from.add(2 * L::N);
        }
        woven = woven.add(C * L::N);
    }
    for k in 0..COLUMNS {
        for c in 0..C {
            sums[k][c].store(to[k].add(c * L::N));
        }
    }
}
