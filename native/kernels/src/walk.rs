//! A convolution's way through an item: plane by plane, or by pairs of planes.

use crate::conv::{convolve_pair, convolve_row, RowShape, TapRow};
use crate::element::Element;
use crate::items::Item;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::pairs::separate;
use crate::plan::Region;
use crate::ring::{activate_row, Ring};
use crate::run::Program;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// The convolution of an item's planes, into a tensor; `finish` gets z, y and every row of it, as floats.
    #[allow(clippy::too_many_arguments)]
    pub(crate) unsafe fn convolve(
        &self,
        block: usize,
        item: &Item,
        slot: usize,
        weights: *const f32,
        shape: &RowShape,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut finish: impl FnMut(usize, usize, *mut f32),
    ) {
        let target = |z, y| self.row(slot, item.volume, z, y);
        if !self.plan.in_pairs(block) {
            return self.over_planes(block, item, shape.inputs, source, |z, y, rows| {
                let to = self.floats_of(target(z, y), 0);
                convolve_row::<L>(rows, weights, to, shape);
                finish(z, y, to);
                self.keep(to, target(z, y));
            });
        }
        let results = self.thread_memory(self.plan.thread.rows).add(2 * shape.pitch);
        let length = shape.outputs * shape.pitch;
        self.over_pairs(block, item, shape.inputs, source, |z, next, y, rows| {
            let first = self.floats_of(target(z, y), 0);
            let second = next.map(|z| self.floats_of(target(z, y), 1));
            if L::REGISTERS > 16 {
                convolve_pair::<L>(rows, weights, first, second.unwrap_or(results), shape);
            } else {
                for (plane, rows) in rows.iter().enumerate() {
                    convolve_row::<L>(rows, weights, results.add(plane * length), shape);
                }
                separate::<L>(results, first, second, length);
            }
            finish(z, y, first);
            self.keep(first, target(z, y));
            if let (Some(z), Some(second)) = (next, second) {
                finish(z, y, second);
                self.keep(second, target(z, y));
            }
        })
    }

    /// Where floats of a tensor's row (C, pitch) are computed before `keep`: in the row, or in the thread's first or second such row.
    pub(crate) unsafe fn floats_of(&self, row: *mut E, which: usize) -> *mut f32 {
        if E::IS_FLOAT {
            return row.cast();
        }
        self.thread_memory(self.plan.thread.floats).add(which * self.plan.channels() * self.plan.pitch)
    }

    /// Puts the floats of `floats_of` into their row.
    #[inline(always)]
    pub(crate) unsafe fn keep(&self, floats: *const f32, row: *mut E) {
        if !E::IS_FLOAT {
            copy_row::<L, f32, E>(floats, row, self.plan.channels() * self.plan.pitch);
        }
    }

    /// A channel of a tensor's row as floats: where it lies, or written to `to`.
    #[inline(always)]
    pub(crate) unsafe fn read_floats(&self, row: *const E, to: *mut f32) -> *const f32 {
        if E::IS_FLOAT {
            return row.cast();
        }
        copy_row::<L, E, f32>(row, to, self.plan.pitch);
        to
    }

    pub(crate) fn ring(&self, block: usize, inputs: usize) -> Ring {
        Ring::new(unsafe { self.thread_memory(self.plan.thread.ring) }, inputs, self.plan, block)
    }

    /// Walks an item plane by plane. `source(link, y, c, to)` gives a row: written to `to` up to its width, or where it lies, zero beyond; `each` gets z, y and the tap rows of an output row.
    pub(crate) unsafe fn over_planes(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut each: impl FnMut(usize, usize, &[TapRow]),
    ) {
        let (height, dilation) = (self.plan.height(), self.plan.dilation(block));
        let ring = self.ring(block, inputs);
        ring.clear(3);
        let mut filled = item.first.saturating_sub(1);
        for j in item.first..item.end {
            while filled < (j + 2).min(item.links) {
                ring.fill(filled % 3, |y, c, to| {
                    let from = source(filled, y, c, to);
                    if from != to.cast_const() {
                        core::ptr::copy_nonoverlapping(from, to, self.plan.width());
                    }
                });
                filled += 1;
            }
            if self.team.cancelled() {
                return;
            }
            for y in 0..height {
                let mut rows = [TapRow { from: ring.start, index: 0 }; 9];
                let mut count = 0;
                for index in 0..9 {
                    let (link, line) = ((j + index / 3).wrapping_sub(1), (y + index % 3 * dilation).wrapping_sub(dilation));
                    if link < item.links && line < height {
                        rows[count] = TapRow { from: ring.taps(link % 3, line), index };
                        count += 1;
                    }
                }
                each(item.residue + j * dilation, y, &rows[..count]);
            }
        }
    }

    /// Walks an item by pairs of planes. `each` gets z, the pair's other z unless the chain has ended, y, and the tap rows of each
    /// mixed plane.
    pub(crate) unsafe fn over_pairs(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut each: impl FnMut(usize, Option<usize>, usize, [&[TapRow]; 4]),
    ) {
        let plan = self.plan;
        let (height, dilation) = (plan.height(), plan.dilation(block));
        let ring = self.ring(block, inputs);
        let scratch = self.thread_memory(plan.thread.rows);
        ring.clear(4);
        ring.keep(0, item.first.checked_sub(1), &source);
        ring.keep(1, Some(item.first), &source);
        for j in (item.first..item.end).step_by(2) {
            let there = |link: usize| (link < item.links).then_some(link);
            let new = [there(j + 1), there(j + 2)];
            if self.team.cancelled() {
                return;
            }
            let z = item.residue + j * dilation;
            let next = there(j + 1).map(|_| z + dilation);
            // Like planes, lines meet only those of their residue: one residue after the other, the ring is small at any dilation.
            for residue in 0..dilation.min(height) {
                let mut filled = residue;
                for y in (residue..height).step_by(dilation) {
                    while filled < (y + dilation + 1).min(height) {
                        ring.fill_line::<L>(filled, new, scratch, &source);
                        filled += dilation;
                    }
                    let mut rows = [[TapRow { from: ring.start, index: 0 }; 3]; 4];
                    let mut count = 0;
                    for ky in 0..3 {
                        let line = (y + ky * dilation).wrapping_sub(dilation);
                        if line < height {
                            for (plane, rows) in rows.iter_mut().enumerate() {
                                rows[count] = TapRow { from: ring.taps(plane, line), index: plane * 3 + ky };
                            }
                            count += 1;
                        }
                    }
                    each(z, next, y, core::array::from_fn(|plane| &rows[plane][..count]));
                }
            }
        }
    }

    /// A row of what a block reads: the image, or the activated output of the block before.
    #[inline(always)]
    pub(crate) unsafe fn read_input(
        &self,
        block: usize,
        item: &Item,
        link: usize,
        y: usize,
        c: usize,
        to: *mut f32,
    ) -> *const f32 {
        let plan = self.plan;
        let (width, z) = (plan.width(), item.residue + link * plan.dilation(block));
        if block > 0 {
            let from = self.row(plan.slot(block - 1), item.volume, z, y).add(c * plan.pitch);
            activate_row::<L, E, A>(from, to, plan.pitch, self.coefficients(block - 1, item.volume, c));
            return to;
        }
        let first = ((item.volume * plan.depth() + z) * plan.height() + y) * width;
        let image = self.at(Region::Images);
        if plan.request.float_images == 1 {
            core::ptr::copy_nonoverlapping(image.cast::<f32>().add(first), to, width);
        } else {
            for x in 0..width {
                *to.add(x) = f32::from(*image.add(first + x)) / 255.0;
            }
        }
        to
    }
}

/// # Safety
/// Both rows hold `length` elements, a multiple of the lanes.
#[inline(never)]
unsafe fn copy_row<L: Lanes, F: Element, T: Element>(from: *const F, to: *mut T, length: usize) {
    L::enter(
        #[inline(always)]
        || {
            for x in (0..length).step_by(L::N) {
                T::store(F::load::<L>(from.add(x)), to.add(x));
            }
        },
    )
}
