//! The gradient by a convolution's weights by tiles: a row of A is a channel of the ring, of three neighbouring lines; k runs along x,
//! two vectors half a row apart; columns of B are the other channels at three neighbouring places along x. So one B meets three planes.

use super::layout::Layout;
use super::ring::{each_beside, TileRing};
use super::{Tiles, EDGE, TILE};
use crate::conv::MOST_CHANNELS;
use crate::lanes::Lanes;
use core::ops::Range;
use core::slice;

/// Vectors of a step of `put`, of each half of a row.
const VECTORS: usize = 2;

/// Columns of B at most: whole tiles.
const MOST_COLUMNS: usize = 3 * MOST_CHANNELS;

/// The other channels' rows of a block of lines, and the sums.
pub struct Woven<'a> {
    layout: &'a Layout,
    pairs: *mut u32,
    words: *mut u32,
    sums: *mut f32,
    totals: *mut f64,
    /// Where the words of a column of vector 0 lie in the pairs.
    columns: [usize; MOST_COLUMNS],
}

impl<'a> Woven<'a> {
    /// Clears the sums.
    /// # Safety
    /// `memory` is a thread's, as `layout` has it.
    pub unsafe fn new(memory: *mut u8, layout: &'a Layout) -> Self {
        let at = |offset: usize| memory.add(offset);
        slice::from_raw_parts_mut(at(layout.sums), layout.results - layout.sums).fill(0);
        let mut columns = [0; MOST_COLUMNS];
        for (column, at) in columns[..3 * layout.others].iter_mut().enumerate() {
            *at = column % layout.others * layout.pair_pitch + column / layout.others * layout.padding();
        }
        let (pairs, words) = (at(layout.pairs).cast(), at(layout.woven).cast());
        Self { layout, pairs, words, sums: at(layout.sums).cast(), totals: at(layout.totals).cast(), columns }
    }

    unsafe fn line(&self, line: usize) -> *mut u32 {
        self.words.add(line * self.layout.steps * EDGE * self.layout.across())
    }

    /// Steps that taking in a line takes.
    pub fn steps(&self) -> usize {
        1 + self.layout.steps.div_ceil(VECTORS)
    }

    /// Takes in line `line` of a block of lines: (others, pitch), zero beyond the width.
    /// # Safety
    /// As `new`; `rows` holds that line; `step` is below `steps`, and comes in order.
    pub unsafe fn put<L: Lanes>(&self, line: usize, step: usize, rows: *const f32) {
        match step.checked_sub(1) {
            None => self.pair::<L>(rows),
            Some(step) => self.weave::<L>(line, step * VECTORS..((step + 1) * VECTORS).min(self.layout.steps)),
        }
    }

    /// The line's pairs, and the vectors before and after them, as `TileRing` has those of words.
    #[inline(never)]
    unsafe fn pair<L: Lanes>(&self, rows: *const f32) {
        let Layout { others, pair_pitch, steps, apart, .. } = *self.layout;
        let half = steps * EDGE;
        L::enter(
            #[inline(always)]
            || {
                for c in 0..others {
                    let (from, row) = (rows.add(c * 2 * half), self.pairs.add(c * pair_pitch + apart * EDGE));
                    for x in (0..half).step_by(L::N) {
                        L::load(from.add(x)).pair_bf16(L::load(from.add(half + x))).store(row.add(x).cast());
                    }
                    let (mut low, mut high) = ([0u32; EDGE], [0u32; EDGE]);
                    each_beside(
                        steps,
                        2 * steps,
                        apart,
                        #[inline(always)]
                        |v, turns, from| {
                            let to = row.offset(v * EDGE as isize);
                            if from < steps {
                                return L::slide(row.add(from * EDGE), to, turns, false);
                            }
                            // What lies half a row further is the first half's, another lane on.
                            let from = row.add((from - steps) * EDGE);
                            L::slide(from, low.as_mut_ptr(), turns, true);
                            L::slide(from, high.as_mut_ptr(), turns + 1, true);
                            L::blend_halves(low.as_ptr(), high.as_ptr(), to);
                        },
                    );
                }
            },
        )
    }

    /// B of some of the line's vectors.
    #[inline(never)]
    unsafe fn weave<L: Lanes>(&self, line: usize, vectors: Range<usize>) {
        let across = self.layout.across();
        L::enter(
            #[inline(always)]
            || {
                for vector in vectors {
                    let to = self.line(line).add(vector * EDGE * across);
                    for first in (0..across).step_by(EDGE) {
                        let rows = core::array::from_fn(|i| self.pairs.add(self.columns[first + i] + vector * EDGE).cast_const());
                        L::transpose(rows, to.add(first), across);
                    }
                }
            },
        )
    }

    /// Adds the products of `lines`, the block's, of plane `link` with those of the ring's planes around it, of a chain of `links`.
    /// # Safety
    /// As `new`; the ring holds the planes.
    #[inline(never)]
    pub unsafe fn accumulate<T: Tiles>(
        &self,
        tiles: &mut T,
        ring: &TileRing,
        (link, links): (usize, usize),
        lines: Range<usize>,
    ) {
        let layout = self.layout;
        let (ms, ns, row, across) = (layout.sum_rows(), layout.across() / EDGE, 4 * layout.half_pitch, layout.across());
        let (before, after) = (link > 0, link + 1 < links);
        for (m, n) in (0..ms * ns).map(|tile| (tile / ns, tile % ns)) {
            let sum = |kz: usize| self.sums.add(((kz * ms + m) * ns + n) * TILE).cast::<u8>();
            tiles.load::<0>(sum(0), 4 * EDGE);
            tiles.load::<1>(sum(1), 4 * EDGE);
            tiles.load::<2>(sum(2), 4 * EDGE);
            for (index, line) in lines.clone().enumerate() {
                let b = self.line(index).add(n * EDGE);
                let a = |plane: usize, step: usize| {
                    ring.halves(plane, line).add(m * EDGE * layout.half_pitch + step * EDGE).cast::<u8>()
                };
                for step in 0..layout.steps {
                    tiles.load::<3>(b.add(step * EDGE * across).cast(), 4 * across);
                    if before {
                        tiles.load::<4>(a(link - 1, step), row);
                        tiles.dot::<0, 4, 3>();
                    }
                    tiles.load::<5>(a(link, step), row);
                    tiles.dot::<1, 5, 3>();
                    if after {
                        tiles.load::<6>(a(link + 1, step), row);
                        tiles.dot::<2, 6, 3>();
                    }
                }
            }
            tiles.store::<0>(sum(0), 4 * EDGE);
            tiles.store::<1>(sum(1), 4 * EDGE);
            tiles.store::<2>(sum(2), 4 * EDGE);
        }
    }

    /// totals += the sums, which are of one plane; clears the sums.
    /// # Safety
    /// As `new`.
    #[inline(never)]
    pub unsafe fn conclude(&self) {
        let count = 3 * self.layout.sum_rows() * EDGE * self.layout.across();
        let sums = slice::from_raw_parts_mut(self.sums, count);
        for (total, sum) in slice::from_raw_parts_mut(self.totals, count).iter_mut().zip(sums) {
            *total += f64::from(*sum);
            *sum = 0.0;
        }
    }

    /// products, columns (3 kz, 3 ky, channels, 3 kx, others), = the totals.
    /// # Safety
    /// As `new`.
    pub unsafe fn unweave(&self, products: &mut [f64]) {
        let Layout { channels, others, .. } = *self.layout;
        let (ms, ns) = (self.layout.sum_rows(), self.layout.across() / EDGE);
        for (kz, row) in (0..9 * channels).map(|i| (i / (3 * channels), i % (3 * channels))) {
            for (kx, other) in (0..3 * others).map(|i| (i / others, i % others)) {
                // The ring's voxel is `kx - 1` places after that of these columns.
                let column = (2 - kx) * others + other;
                let tile = (kz * ms + row / EDGE) * ns + column / EDGE;
                let total = *self.totals.add(tile * TILE + row % EDGE * EDGE + column % EDGE);
                products[((kz * 3 * channels + row) * 3 + kx) * others + other] = total;
            }
        }
    }
}
