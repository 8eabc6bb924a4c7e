//! The way back through a block where bf16 are multiplied: two passes, because the gradient by the weights reads other rings than
//! convolutions do.

use crate::activation::through_normalisation;
use crate::bf16::pairs::mix_gradients;
use crate::bf16::ring::Layout;
use crate::bf16::walk::DotTaps;
use crate::bf16::weight_gradient::weave;
use crate::conv::{RowShape, TapRow};
use crate::element::Element;
use crate::items::{item, Item};
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::run::Program;
use crate::weight_gradient::{accumulate_row, flush};
use core::slice;

/// Rows whose products are added in single precision before they join the double-precision sums.
const ROWS_A_FLUSH: usize = 8;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// As `backward`. The gradient by the output of the block's convolution takes that output's place.
    pub(crate) unsafe fn backward_by_dots(&self, block: usize) -> Option<()> {
        self.weights_by_dots(block)?;
        if block == 0 {
            return Some(());
        }
        let plan = self.plan;
        let channels = plan.channels();
        let shape = self.shape(block, channels, channels);
        let weights = self.packed(block, true);
        let work = |index: usize| {
            let item = item(plan.depth(), plan.dilation(block), index);
            let sums = &mut self.partial(index)[..2 * channels];
            sums.fill(0.0);
            let source = |link: usize, y: usize, c: usize, to: *mut f32| {
                let z = item.residue + link * plan.dilation(block);
                self.read_floats(self.row(plan.slot(block), item.volume, z, y).add(c * plan.pitch), to)
            };
            self.convolve(block, &item, weights, &shape, source, |line, from| {
                for (i, z) in line.planes() {
                    let row = self.row(plan.gradient_slot(block - 1), item.volume, z, line.y);
                    let values = core::ptr::null_mut();
                    self.through_activation(from[i], row, values, block - 1, item.volume, z, line.y, sums, plan.ahead(block));
                }
            });
        };
        let items = self.items(plan.dilation(block));
        self.pass(items, work, || self.conclude_normalisation(block - 1, items, 0))
    }

    unsafe fn weights_by_dots(&self, block: usize) -> Option<()> {
        let plan = self.plan;
        let (channels, inputs) = (plan.channels(), plan.inputs(block));
        let shape = self.shape(block, inputs, channels);
        let columns = 9 * shape.planes * inputs * channels;
        let vectors = self.thread_memory(plan.thread.sums);
        let work = |index: usize| {
            let item = item(plan.depth(), plan.dilation(block), index);
            let products = &mut self.partial(index)[..columns];
            products.fill(0.0);
            slice::from_raw_parts_mut(vectors, columns * L::N).fill(0.0);
            let mut flush_all = || flush::<L>(vectors, products.as_mut_ptr(), columns);
            let mut rows_since = 0;
            let after = || {
                rows_since = (rows_since + 1) % ROWS_A_FLUSH;
                if rows_since == 0 {
                    flush_all();
                }
            };
            let source = |link, y, c, to| self.read_input(block, &item, link, y, c, to);
            self.accumulate_by_dots(block, &item, &shape, source, after);
            flush_all();
        };
        let items = self.items(plan.dilation(block));
        self.pass(items, work, || self.conclude_weights(block, items, &shape, false))
    }

    unsafe fn accumulate_by_dots(
        &self,
        block: usize,
        item: &Item,
        shape: &RowShape,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut after: impl FnMut(),
    ) {
        let length = shape.outputs * shape.pitch;
        let vectors = self.thread_memory(self.plan.thread.sums);
        let (mixed, woven) = (self.rows_at(|rows| rows.plain), self.rows_at(|rows| rows.woven).cast::<u16>());
        let accumulate = |rows: &[TapRow<u16>], gradient: *const f32| {
            weave::<L>(gradient, woven, shape.outputs, shape.pitch);
            accumulate_row::<L, u16>(rows, woven, vectors, shape);
        };
        self.over_dots(block, item, Layout::Planar, shape.inputs, source, |taps| {
            match taps {
                DotTaps::Row(z, y, rows) => {
                    accumulate(rows, self.settled_row(block, item, z, y, 0));
                }
                DotTaps::Pair(z, next, y, [first, sum, difference, second]) => {
                    let a = self.settled_row(block, item, z, y, 0);
                    let b = next.map(|z| self.settled_row(block, item, z, y, 1));
                    let (mut added, mut taken) = (a, a);
                    if let Some(b) = b {
                        mix_gradients::<L>(a, b, mixed, mixed.add(length), length);
                        (added, taken) = (mixed.cast_const(), mixed.add(length).cast_const());
                    }
                    accumulate(first, a);
                    accumulate(sum, added);
                    accumulate(difference, taken);
                    if let Some(b) = b {
                        accumulate(second, b);
                    }
                }
            }
            after();
        });
    }

    /// The floats of a row (C, pitch) of the gradient by the output of a block's convolution, zero beyond the width; stored in that
    /// output's place.
    unsafe fn settled_row(&self, block: usize, item: &Item, z: usize, y: usize, which: usize) -> *const f32 {
        let plan = self.plan;
        let row = self.row(plan.slot(block), item.volume, z, y);
        let slope = self.row(plan.gradient_slot(block), item.volume, z, y);
        let to = self.floats(which);
        for c in 0..plan.channels() {
            let (k, at) = (self.coefficients(block, item.volume, c), c * plan.pitch);
            through_normalisation::<L, E>(slope.add(at), row.add(at), to.add(at), plan.pitch, k, plan.ahead(block));
        }
        self.clear_tail(to);
        self.keep(to, row);
        to
    }
}
