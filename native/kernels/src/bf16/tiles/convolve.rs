//! The convolution of an item's planes by tiles.

use super::block::Block;
use super::{Tiles, EDGE, TILE};
use crate::bf16::narrow;
use crate::element::Element;
use crate::fours::TOGETHER;
use crate::items::Item;
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::Activation;
use crate::run::Program;
use core::slice;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// As `convolve`, by tiles: three neighbouring planes of a chain in a ring, a line of which is A.
    pub(crate) unsafe fn convolve_by_tiles(
        &self,
        block: usize,
        item: &Item,
        weights: *const f32,
        shape: &Block,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut finish: impl FnMut(&Line, [*mut f32; TOGETHER]),
    ) {
        let plan = self.plan;
        let (width, height, dilation) = (plan.width(), plan.height(), plan.dilation(block));
        let (row, ms) = (shape.row(width, dilation), shape.ms(width, dilation));
        let ring = self.thread_memory(plan.thread.ring).cast::<u16>();
        let line = |link: usize, y: usize| ring.add((link % 3 * height + y) * row);
        let scratch = self.thread_memory(plan.thread.narrowing);
        let results = scratch.add(plan.pitch);
        let to = core::array::from_fn(|i| self.floats(i));
        slice::from_raw_parts_mut(ring, 3 * height * row).fill(0);
        let mut tiles = E::Tiles::begin();
        let mut filled = item.first.saturating_sub(1);
        for j in item.first..item.end {
            while filled < (j + 2).min(item.links) {
                for y in 0..height {
                    for c in 0..shape.inputs {
                        weave(source(filled, y, c, scratch), line(filled, y).add(c), shape, width, dilation);
                    }
                }
                filled += 1;
            }
            if self.team.cancelled() {
                break;
            }
            for y in 0..height {
                let (mut rows, mut count) = ([(ring.cast_const(), weights); 9], 0);
                for index in 0..9 {
                    let (link, at) = ((j + index / 3).wrapping_sub(1), (y + index % 3 * dilation).wrapping_sub(dilation));
                    if link < item.links && at < height {
                        rows[count] = (line(link, at).cast_const(), weights.add(index * shape.ns * shape.ks * TILE));
                        count += 1;
                    }
                }
                let mut m = 0;
                while m < ms {
                    // Four tiles of A share a load of B where there are so many.
                    if m + 4 <= ms {
                        multiply::<E::Tiles, 4>(&mut tiles, &rows[..count], m, results, shape);
                        m += 4;
                    } else {
                        multiply::<E::Tiles, 1>(&mut tiles, &rows[..count], m, results, shape);
                        m += 1;
                    }
                }
                let z = item.residue + j * dilation;
                unweave(results, to[0], shape, width, dilation, plan.pitch);
                finish(&Line::new(z, dilation, 1, y, false), to);
            }
        }
        tiles.end();
    }
}

/// A channel of a row of floats, as bf16, into its places in a line of the ring.
#[inline(never)]
unsafe fn weave(from: *const f32, to: *mut u16, shape: &Block, width: usize, dilation: usize) {
    shape.each_class(width, dilation, |first, x, voxels| {
        let to = to.add((first * shape.length + 1) * shape.inputs);
        for i in 0..voxels {
            *to.add(i * shape.inputs) = narrow(*from.add(x + i * dilation));
        }
    });
}

/// The results of a row's blocks, (blocks, ns * 16) floats, into its channels' rows.
#[inline(never)]
unsafe fn unweave(results: *const f32, to: *mut f32, shape: &Block, width: usize, dilation: usize, pitch: usize) {
    shape.each_class(width, dilation, |first, x, voxels| {
        for i in 0..voxels {
            let (block, place) = (first + i / shape.length, i % shape.length);
            let from = results.add(block * shape.ns * EDGE + place * shape.outputs);
            for c in 0..shape.outputs {
                *to.add(c * pitch + x + i * dilation) = *from.add(c);
            }
        }
    });
}

/// results = the sum over tap rows of their blocks, tiles m to m + M, times their weights.
#[inline(never)]
unsafe fn multiply<T: Tiles, const M: usize>(
    tiles: &mut T,
    rows: &[(*const u16, *const f32)],
    m: usize,
    results: *mut f32,
    shape: &Block,
) {
    let stride = 2 * shape.length * shape.inputs;
    for n in 0..shape.ns {
        tiles.zero::<0>();
        tiles.zero::<1>();
        tiles.zero::<2>();
        tiles.zero::<3>();
        for &(from, weights) in rows {
            for k in 0..shape.ks {
                tiles.load::<4>(weights.add((n * shape.ks + k) * TILE).cast(), 4 * EDGE);
                let a = |i: usize| from.cast::<u8>().add((m + i) * EDGE * stride + 64 * k);
                tiles.load::<5>(a(0), stride);
                tiles.dot::<0, 5, 4>();
                if M == 4 {
                    tiles.load::<6>(a(1), stride);
                    tiles.dot::<1, 6, 4>();
                    tiles.load::<7>(a(2), stride);
                    tiles.dot::<2, 7, 4>();
                    tiles.load::<5>(a(3), stride);
                    tiles.dot::<3, 5, 4>();
                }
            }
        }
        let to = |i: usize| results.add(((m + i) * EDGE * shape.ns + n) * EDGE).cast::<u8>();
        let stride = 4 * EDGE * shape.ns;
        tiles.store::<0>(to(0), stride);
        if M == 4 {
            tiles.store::<1>(to(1), stride);
            tiles.store::<2>(to(2), stride);
            tiles.store::<3>(to(3), stride);
        }
    }
}
