//! The gradient by a convolution's weights by tiles: a row of A is a channel of an input line, k runs along x, columns of B are the
//! gradient's channels.

use super::{Tiles, EDGE, TILE};
use crate::bf16::{narrow, narrow_row};
use crate::conv::RowShape;
use crate::element::Element;
use crate::items::Item;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::plan::ring_padding;
use crate::run::Program;
use core::slice;

/// Voxels along k of a tile.
const DEEP: usize = 2 * EDGE;

/// bf16 of a channel's row in the ring: whole tiles, and zeros on both sides.
pub fn row(width: usize, dilation: usize) -> usize {
    width.next_multiple_of(DEEP) + 2 * ring_padding(dilation).next_multiple_of(DEEP)
}

/// Lines of a plane: by residue class of the dilation, so that a line and its two neighbours lie beside each other, a zero line before
/// each class and after the last.
pub fn lines(height: usize, dilation: usize) -> usize {
    height + dilation.min(height) + 1
}

/// Where line y lies.
fn line(y: usize, height: usize, dilation: usize) -> usize {
    let (class, long) = (y % dilation, height % dilation);
    1 + class * (height / dilation + 1) + class.min(long) + y / dilation
}

/// Tiles along m: the channels of three lines.
fn ms(inputs: usize) -> usize {
    (3 * inputs).div_ceil(EDGE)
}

/// bf16 of a ring of three planes, with what the last tile reads beyond it.
pub fn ring(height: usize, width: usize, dilation: usize, inputs: usize) -> usize {
    (3 * lines(height, dilation) * inputs + EDGE) * row(width, dilation)
}

/// Floats of the sums, (3 kz, 3 kx, m, n) tiles.
pub fn sums(inputs: usize, outputs: usize) -> usize {
    9 * ms(inputs) * outputs.div_ceil(EDGE) * TILE
}

/// Words of a gradient's row as B.
pub fn gradient_words(width: usize, outputs: usize) -> usize {
    width.next_multiple_of(DEEP) / 2 * EDGE * outputs.div_ceil(EDGE)
}

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// sums (`sums` floats, of which `flush` makes columns) += every input row times every gradient row that it reaches; `gradient`
    /// gives the floats of a row (Co, pitch), zero beyond the width, and `after` is called after every row.
    pub(crate) unsafe fn accumulate_by_tiles(
        &self,
        item: &Item,
        shape: &RowShape,
        totals: *mut f32,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut gradient: impl FnMut(usize, usize) -> *const f32,
        mut after: impl FnMut(),
    ) {
        let plan = self.plan;
        let (width, height, dilation) = (plan.width(), plan.height(), shape.dilation);
        let (pitch, padding) = (row(width, dilation), ring_padding(dilation).next_multiple_of(DEEP));
        let (ms, ns) = (ms(shape.inputs), shape.outputs.div_ceil(EDGE));
        let ring_start = self.thread_memory(plan.thread.ring).cast::<u16>();
        let plane = lines(height, dilation) * shape.inputs * pitch;
        let scratch = self.thread_memory(plan.thread.narrowing);
        let b = scratch.add(plan.pitch);
        slice::from_raw_parts_mut(ring_start, ring(height, width, dilation, shape.inputs)).fill(0);
        slice::from_raw_parts_mut(b, gradient_words(width, shape.outputs)).fill(0.0);
        let mut tiles = E::Tiles::begin();
        let mut filled = item.first.saturating_sub(1);
        for j in item.first..item.end {
            while filled < (j + 2).min(item.links) {
                for y in 0..height {
                    for c in 0..shape.inputs {
                        let at = line(y, height, dilation) * shape.inputs + c;
                        let to = ring_start.add(filled % 3 * plane + at * pitch + padding);
                        let from = source(filled, y, c, scratch);
                        narrow_row::<L>(from, to, width / L::N * L::N);
                        for x in width / L::N * L::N..width {
                            *to.add(x) = narrow(*from.add(x));
                        }
                    }
                }
                filled += 1;
            }
            if self.team.cancelled() {
                break;
            }
            for y in 0..height {
                weave(gradient(item.residue + j * dilation, y), b.cast(), shape, width);
                for kz in 0..3 {
                    let link = (j + kz).wrapping_sub(1);
                    if link >= item.links {
                        continue;
                    }
                    let above = (line(y, height, dilation) - 1) * shape.inputs;
                    let from = ring_start.add(link % 3 * plane + above * pitch + padding);
                    for m in 0..ms {
                        for n in 0..ns {
                            let to = totals.add(((kz * 3 * ms + m) * ns + n) * TILE);
                            let from = from.add(m * EDGE * pitch).sub(dilation);
                            let (b, steps) = (b.add(n * EDGE), width.div_ceil(DEEP));
                            multiply(&mut tiles, from, pitch, dilation, b, ns, to, ms * ns * TILE, steps);
                        }
                    }
                }
                after();
            }
        }
        tiles.end();
    }
}

/// Words (x / 2, ns * 16) of two neighbours along x of every channel. Words beyond the channels stay.
#[inline(never)]
unsafe fn weave(gradient: *const f32, to: *mut u32, shape: &RowShape, width: usize) {
    let across = EDGE * shape.outputs.div_ceil(EDGE);
    for c in 0..shape.outputs {
        let from = gradient.add(c * shape.pitch);
        for x in 0..width.div_ceil(2) {
            let upper = if 2 * x + 1 < width { narrow(*from.add(2 * x + 1)) } else { 0 };
            *to.add(x * across + c) = u32::from(upper) << 16 | u32::from(narrow(*from.add(2 * x)));
        }
    }
}

/// The sums of the three kx, `apart` floats from each other, += 16 rows, shifted by kx dilations, times the gradient.
#[inline(never)]
unsafe fn multiply<T: Tiles>(
    tiles: &mut T,
    from: *const u16,
    pitch: usize,
    dilation: usize,
    b: *const f32,
    ns: usize,
    sums: *mut f32,
    apart: usize,
    steps: usize,
) {
    let sum = |kx: usize| sums.add(kx * apart).cast::<u8>();
    tiles.load::<0>(sum(0), 4 * EDGE);
    tiles.load::<1>(sum(1), 4 * EDGE);
    tiles.load::<2>(sum(2), 4 * EDGE);
    for step in 0..steps {
        tiles.load::<3>(b.add(step * EDGE * EDGE * ns).cast(), 4 * EDGE * ns);
        let a = |kx: usize| from.add(step * DEEP + kx * dilation).cast::<u8>();
        tiles.load::<4>(a(0), 2 * pitch);
        tiles.dot::<0, 4, 3>();
        tiles.load::<5>(a(1), 2 * pitch);
        tiles.dot::<1, 5, 3>();
        tiles.load::<6>(a(2), 2 * pitch);
        tiles.dot::<2, 6, 3>();
    }
    tiles.store::<0>(sum(0), 4 * EDGE);
    tiles.store::<1>(sum(1), 4 * EDGE);
    tiles.store::<2>(sum(2), 4 * EDGE);
}

/// totals, (9, Ci, 3, Co) columns as `crate::weight_gradient` has them, += the sums; clears the sums.
/// # Safety
/// `sums` holds what `sums` says, `totals` 27 * inputs * outputs doubles.
pub unsafe fn flush(of: *mut f32, totals: *mut f64, inputs: usize, outputs: usize) {
    let (ms, ns) = (ms(inputs), outputs.div_ceil(EDGE));
    for kz in 0..3 {
        for kx in 0..3 {
            for row in 0..3 * inputs {
                let (ky, input) = (row / inputs, row % inputs);
                for output in 0..outputs {
                    let tile = ((kz * 3 + kx) * ms + row / EDGE) * ns + output / EDGE;
                    let from = of.add(tile * TILE + row % EDGE * EDGE + output % EDGE);
                    *totals.add((((kz * 3 + ky) * inputs + input) * 3 + kx) * outputs + output) += f64::from(*from);
                }
            }
        }
    }
    slice::from_raw_parts_mut(of, sums(inputs, outputs)).fill(0.0);
}
