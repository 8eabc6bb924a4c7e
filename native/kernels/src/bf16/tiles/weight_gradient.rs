//! The gradient by a convolution's weights by tiles: a row of A is a channel of the ring, of three neighbouring lines; k runs along x,
//! two vectors half a row apart; columns of B are the other channels, of three neighbouring planes. Plane p is in
//! columns p % 3, so that a plane that comes takes the place of the one that has served.

use super::layout::Layout;
use super::ring::TileRing;
use super::{Tiles, EDGE, TILE};
use crate::lanes::Lanes;
use core::ops::Range;
use core::slice;

/// Vectors of a step of `put`, of each half of a row.
const VECTORS: usize = 2;

/// The other channels' rows, and the sums.
#[derive(Clone, Copy)]
pub struct Woven<'a> {
    layout: &'a Layout,
    words: *mut u32,
    sums: *mut f32,
    totals: *mut f64,
}

impl<'a> Woven<'a> {
    /// Clears the sums.
    /// # Safety
    /// `memory` is a thread's, as `layout` has it.
    pub unsafe fn new(memory: *mut u8, layout: &'a Layout) -> Self {
        let at = |offset: usize| memory.add(offset);
        slice::from_raw_parts_mut(at(layout.sums), layout.results - layout.sums).fill(0);
        let (words, sums, totals) = (at(layout.woven).cast(), at(layout.sums).cast(), at(layout.totals).cast());
        Self { layout, words, sums, totals }
    }

    unsafe fn line(&self, line: usize) -> *mut u32 {
        self.words.add(line * self.layout.steps * EDGE * self.layout.across())
    }

    /// Steps that taking in a line takes.
    pub fn steps(&self) -> usize {
        self.layout.steps.div_ceil(VECTORS)
    }

    /// Takes in a line (others, pitch) of plane `link`, zero beyond the width. Line 0 is the run's first.
    /// # Safety
    /// As `new`; `rows` holds that line; `step` is below `steps`.
    #[inline(never)]
    pub unsafe fn put<L: Lanes>(&self, link: usize, line: usize, step: usize, rows: *const f32) {
        let (across, others, half) = (self.layout.across(), self.layout.others, self.layout.steps * EDGE);
        let to = self.line(line).add(link % 3 * others);
        let end = ((step + 1) * VECTORS).min(self.layout.steps);
        L::enter(
            #[inline(always)]
            move || {
                for vector in step * VECTORS..end {
                    let to = to.add(vector * EDGE * across);
                    for first in (0..others).step_by(4) {
                        let mut words = [[0u32; EDGE]; 4];
                        let count = (others - first).min(4);
                        for c in 0..count {
                            let row = rows.add((first + c) * 2 * half + vector * EDGE);
                            for x in (0..EDGE).step_by(L::N) {
                                let pairs = L::load(row.add(x)).pair_bf16(L::load(row.add(half + x)));
                                pairs.store(words[c].as_mut_ptr().add(x).cast());
                            }
                        }
                        if count == 4 {
                            let rows = [words[0].as_ptr(), words[1].as_ptr(), words[2].as_ptr(), words[3].as_ptr()];
                            L::columns_of_four(rows, to.add(first), across);
                            continue;
                        }
                        for c in 0..count {
                            for i in 0..EDGE {
                                *to.add(i * across + first + c) = words[c][i];
                            }
                        }
                    }
                }
            },
        )
    }

    /// Adds the products of lines of the ring's plane `link` with those of the planes around it.
    /// # Safety
    /// As `new`; the ring holds the plane.
    #[inline(never)]
    pub unsafe fn accumulate<T: Tiles>(&self, tiles: &mut T, ring: &TileRing, link: usize, lines: Range<usize>) {
        let layout = self.layout;
        let (ms, ns) = (layout.sum_rows(), layout.across() / EDGE);
        for (m, n) in (0..ms * ns).map(|tile| (tile / ns, tile % ns)) {
            let sum = |kx: usize| self.sums.add(((kx * ms + m) * ns + n) * TILE).cast::<u8>();
            tiles.load::<0>(sum(0), 4 * EDGE);
            tiles.load::<1>(sum(1), 4 * EDGE);
            tiles.load::<2>(sum(2), 4 * EDGE);
            for line in lines.clone() {
                let from = ring.halves(link, line).add(m * EDGE * layout.half_pitch).sub(layout.padding());
                multiply(tiles, from, layout, self.line(line).add(n * EDGE));
            }
            tiles.store::<0>(sum(0), 4 * EDGE);
            tiles.store::<1>(sum(1), 4 * EDGE);
            tiles.store::<2>(sum(2), 4 * EDGE);
        }
    }

    /// totals += the sums, which are of plane `link`, by those around it that are among `planes`; clears the sums.
    /// # Safety
    /// As `new`.
    #[inline(never)]
    pub unsafe fn conclude(&self, link: usize, planes: Range<usize>) {
        let (others, across) = (self.layout.others, self.layout.across());
        let (rows, tiles) = (self.layout.sum_rows() * EDGE, across / EDGE);
        let totals = self.totals.add(link % 3 * 3 * rows * across);
        // Columns of other planes hold what an earlier item left.
        for plane in (link.saturating_sub(1)..link + 2).filter(|plane| planes.contains(plane)) {
            for (kx, row) in (0..3 * rows).map(|i| (i / rows, i % rows)) {
                for column in plane % 3 * others..(plane % 3 + 1) * others {
                    let tile = (kx * rows / EDGE + row / EDGE) * tiles + column / EDGE;
                    let at = tile * TILE + row % EDGE * EDGE + column % EDGE;
                    *totals.add(at) += f64::from(*self.sums.add(at));
                }
            }
        }
        slice::from_raw_parts_mut(self.sums, 3 * rows * across).fill(0.0);
    }

    /// products, columns (3 kz, 3 ky, channels, 3 kx, others), = the totals.
    /// # Safety
    /// As `new`.
    pub unsafe fn unweave(&self, products: &mut [f64]) {
        let Layout { channels, others, .. } = *self.layout;
        let (ms, ns) = (self.layout.sum_rows(), self.layout.across() / EDGE);
        products.fill(0.0);
        for (turn, plane) in (0..9).map(|i| (i / 3, i % 3)) {
            // The ring's plane is `kz - 1` planes after that of these columns.
            let kz = [1, 0, 2][(plane + 3 - turn) % 3];
            for (ky, channel) in (0..3 * channels).map(|row| (row / channels, row % channels)) {
                for (kx, other) in (0..3 * others).map(|i| (i / others, i % others)) {
                    let (row, column) = (ky * channels + channel, plane * others + other);
                    let tile = (turn * 3 + kx) * ms * ns + row / EDGE * ns + column / EDGE;
                    let total = *self.totals.add(tile * TILE + row % EDGE * EDGE + column % EDGE);
                    products[(((kz * 3 + ky) * channels + channel) * 3 + kx) * others + other] += total;
                }
            }
        }
    }
}

/// The sums of the three kx += 16 rows, shifted by kx times `Layout::padding`, times a line of B.
#[inline(always)]
unsafe fn multiply<T: Tiles>(tiles: &mut T, from: *const u32, layout: &Layout, b: *const u32) {
    let (row, across) = (4 * layout.half_pitch, layout.across());
    for step in 0..layout.steps {
        tiles.load::<3>(b.add(step * EDGE * across).cast(), 4 * across);
        let a = |kx: usize| from.add(step * EDGE + kx * layout.padding()).cast::<u8>();
        tiles.load::<4>(a(0), row);
        tiles.dot::<0, 4, 3>();
        tiles.load::<5>(a(1), row);
        tiles.dot::<1, 5, 3>();
        tiles.load::<6>(a(2), row);
        tiles.dot::<2, 6, 3>();
    }
}
