//! The way back through a block: normalisation, convolution and the activation before it, in one pass over the volume. The rows of
//! the gradient by the convolution's output, gathered in a ring, serve twice: convolved, they are the gradient by the block's
//! input; against the input's own rows, the gradient by the weights.

use crate::activation::through_normalisation;
use crate::conv::RowShape;
use crate::element::{Element, Products};
use crate::fours::{mix_gradients, unmix, MIXED, TOGETHER};
use crate::items::{item, Item};
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::Activation;
use crate::run::Program;
use crate::weight_gradient::{accumulate_rows, flush, weave};
use core::slice;

/// Lines whose products are added in single precision before they join the double-precision sums.
const LINES_A_FLUSH: usize = 32;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// From the gradient by a block's normalised values: that by its convolution's weights, and that by the normalised values of the
    /// block before.
    pub(crate) unsafe fn backward(&self, block: usize) -> Option<()> {
        let dots = match E::PRODUCTS {
            Products::Floats => false,
            Products::Dots => true,
            Products::Tiles => return self.backward_by_tiles(block),
        };
        if block == 0 {
            return if dots { self.first_weights_by_dots() } else { self.first_weights() };
        }
        if self.plan.settles(block) {
            self.settle(block)?;
        }
        if dots {
            return self.backward_by_dots(block);
        }
        let plan = self.plan;
        let (channels, length) = (plan.channels(), plan.channels() * plan.pitch);
        let shape = self.shape(block, channels, channels);
        let columns = 9 * shape.planes * channels * channels;
        let weights = self.packed(block, true);
        let plain = self.rows_at(|rows| rows.plain);
        let work = |index: usize| {
            let item = item(plan.depth(), plan.dilation(block), index);
            let (products, sums) = self.cleared_sums(index, columns, 2 * channels);
            let source = |link, y, c, to| {
                let z = item.residue + link * plan.dilation(block);
                self.gradient_row(block, item.volume, z, y, c, to)
            };
            let mut lines = 0;
            self.convolve(block, &item, weights, &shape, source, |line, to| {
                for (i, z) in line.planes() {
                    let (values, row) = (plain.add(i * length), self.row(plan.gradient_slot(block - 1), item.volume, z, line.y));
                    self.through_activation(to[i], row, values, block - 1, item.volume, z, line.y, sums, plan.ahead(block));
                    self.clear_tail(values);
                }
                self.accumulate(line, &shape);
                self.count_line(&mut lines, products);
            });
            self.flush(products);
        };
        let items = plan.items(block);
        self.pass(items, work, || {
            self.conclude_weights(block, items, &shape, true);
            self.conclude_normalisation(block - 1, items, columns);
        })
    }

    /// The gradient by the weights of the first block, whose input has none: the image's rows in a ring, against those of the
    /// gradient.
    unsafe fn first_weights(&self) -> Option<()> {
        let plan = self.plan;
        let channels = plan.channels();
        let shape = self.shape(0, 1, channels);
        let columns = 9 * shape.planes * channels;
        let work = |index: usize| {
            let item: Item = item(plan.depth(), plan.dilation(0), index);
            let (products, _) = self.cleared_sums(index, columns, 0);
            let source = |link, y, c, to| self.read_input(0, &item, link, y, c, to);
            let mut lines = 0;
            self.walk(0, &item, 1, source, |line| {
                self.gradient_rows(0, item.volume, line);
                self.accumulate(line, &shape);
                self.count_line(&mut lines, products);
            });
            self.flush(products);
        };
        let items = plan.items(0);
        self.pass(items, work, || self.conclude_weights(0, items, &shape, false))
    }

    pub(crate) unsafe fn settle(&self, block: usize) -> Option<()> {
        let plan = self.plan;
        let work = |index: usize| {
            let item = item(plan.depth(), 1, index);
            for z in item.first..item.end {
                for y in 0..plan.height() {
                    let row = self.row(plan.slot(block), item.volume, z, y);
                    let slope = self.row(plan.gradient_slot(block), item.volume, z, y);
                    let to = self.floats(0);
                    for c in 0..plan.channels() {
                        let (k, at) = (self.coefficients(block, item.volume, c), c * plan.pitch);
                        through_normalisation::<L, E>(slope.add(at), row.add(at), to.add(at), plan.pitch, k, plan.ahead(block));
                    }
                    self.clear_tail(to);
                    self.keep(to, row);
                }
            }
            L::end_streams();
        };
        self.pass(self.items(1), work, || ())
    }

    /// A channel of a row of the gradient by the output of a block's convolution: where it lies, or written to `to`.
    #[inline(always)]
    pub(crate) unsafe fn gradient_row(
        &self,
        block: usize,
        volume: usize,
        z: usize,
        y: usize,
        c: usize,
        to: *mut f32,
    ) -> *const f32 {
        let plan = self.plan;
        let row = self.row(plan.slot(block), volume, z, y).add(c * plan.pitch);
        if self.plan.settles(block) {
            return self.read_floats(row, to);
        }
        let slope = self.row(plan.gradient_slot(block), volume, z, y).add(c * plan.pitch);
        through_normalisation::<L, E>(slope, row, to, plan.pitch, self.coefficients(block, volume, c), plan.ahead(block));
        to
    }

    /// An item's sums of products, and `more` others, all zero; as are the thread's vectors.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn cleared_sums(&self, index: usize, columns: usize, more: usize) -> (&mut [f64], &mut [f64]) {
        let partial = &mut self.partial(index)[..columns + more];
        partial.fill(0.0);
        slice::from_raw_parts_mut(self.thread_memory(self.plan.thread.sums), columns * L::N).fill(0.0);
        partial.split_at_mut(columns)
    }

    /// The rows of a line of the gradient by the output of a block's convolution, in `Rows::plain`.
    pub(crate) unsafe fn gradient_rows<T: Copy>(&self, block: usize, volume: usize, line: &Line<T>) {
        let (channels, pitch) = (self.plan.channels(), self.plan.pitch);
        for (i, z) in line.planes() {
            let to = self.rows_at(|rows| rows.plain).add(i * channels * pitch);
            for c in 0..channels {
                self.gradient_row(block, volume, z, line.y, c, to.add(c * pitch));
            }
            self.clear_tail(to);
        }
    }

    /// `Rows::plain`, zero where a line has fewer than four planes.
    pub(crate) unsafe fn plain_rows<T: Copy>(&self, line: &Line<T>) -> *const f32 {
        let (plain, length) = (self.rows_at(|rows| rows.plain), self.plan.channels() * self.plan.pitch);
        let count = line.planes().count();
        slice::from_raw_parts_mut(plain.add(count * length), (TOGETHER - count) * length).fill(0.0);
        plain
    }

    /// Counts a line whose products were added, and flushes the thread's vectors now and then.
    pub(crate) unsafe fn count_line(&self, lines: &mut usize, products: &mut [f64]) {
        *lines += 1;
        if lines.is_multiple_of(LINES_A_FLUSH) {
            self.flush(products);
        }
    }

    /// Adds the products of a line's tap rows with the rows in `Rows::plain` to the thread's vectors.
    unsafe fn accumulate(&self, line: &Line, shape: &RowShape) {
        let (plain, woven) = (self.rows_at(|rows| rows.plain), self.rows_at(|rows| rows.woven));
        let vectors = self.thread_memory(self.plan.thread.sums);
        let length = shape.outputs * shape.pitch;
        if !line.mixed {
            weave::<L, 1, 1>(
                plain,
                woven,
                shape.outputs,
                shape.pitch,
                #[inline(always)]
                |rows| rows,
            );
            return accumulate_rows::<L, f32, 1>([line.all_rows()], [woven], vectors, shape);
        }
        weave::<L, TOGETHER, MIXED>(
            self.plain_rows(line),
            woven,
            shape.outputs,
            shape.pitch,
            #[inline(always)]
            |rows| mix_gradients(rows),
        );
        for plane in 0..MIXED {
            accumulate_rows::<L, f32, 1>([line.rows(plane)], [woven.add(plane * length)], vectors, shape);
        }
    }

    pub(crate) unsafe fn flush(&self, products: &mut [f64]) {
        flush::<L>(self.thread_memory(self.plan.thread.sums), products.as_mut_ptr(), products.len());
    }

    /// The gradient by a block's weights from the items' sums of products. `mirrored`: their columns are of the convolution that
    /// carries gradients back.
    pub(crate) unsafe fn conclude_weights(&self, block: usize, items: usize, s: &RowShape, mirrored: bool) {
        let gradients = self.gradients().add(self.plan.parameters_of(block));
        self.add_up(items, 9 * s.planes * s.inputs * s.outputs);
        let sums = self.partial(0);
        for input in 0..s.inputs {
            for tap in 0..27 {
                // Columns are (planes, 3, Ci, 3, Co), weights (Co, Ci, 3, 3, 3).
                let (kz, ky, kx) = (tap / 9, tap / 3 % 3, tap % 3);
                for output in 0..s.outputs {
                    let column = |plane: usize| sums[(((plane * 3 + ky) * s.inputs + input) * 3 + kx) * s.outputs + output];
                    let gradient = match s.planes {
                        3 => column(kz),
                        _ => unmix(kz, column),
                    };
                    let at = if mirrored {
                        (input * s.outputs + output) * 27 + 26 - tap
                    } else {
                        (output * s.inputs + input) * 27 + tap
                    };
                    *gradients.add(at) = gradient as f32;
                }
            }
        }
    }
}
