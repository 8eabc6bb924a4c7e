//! The way back through a block: activation, normalisation, convolution.

use crate::coefficients::Coefficients;
use crate::element::Element;
use crate::head::row_sum;
use crate::items::item;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::pairs::{mix_gradients, unmix};
use crate::plan::BATCH_NORM;
use crate::run::Program;
use crate::weight_gradient::{accumulate_row, flush};
use core::slice;

/// Rows whose products are added in single precision before they join the double-precision sums.
const ROWS_A_FLUSH: usize = 8;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// Turns the gradient by a block's normalised values into that by its convolution's output, in place of that output, and
    /// gathers the gradient by the convolution's weights.
    pub(crate) unsafe fn weight_gradient(&self, block: usize) -> Option<()> {
        let plan = self.plan;
        let (channels, inputs, pitch) = (plan.channels(), plan.inputs(block), plan.pitch);
        let shape = self.shape(block, inputs, channels);
        let planes = shape.planes;
        let columns = 9 * planes * inputs * channels;
        let vectors = self.thread_memory(plan.thread.sums);
        let mixed = self.thread_memory(plan.thread.rows).add(2 * pitch);
        let length = channels * pitch;
        let woven = mixed.add(2 * length);
        let work = |index: usize| {
            let item = item(plan.depth(), plan.dilation(block), index);
            let partial = self.partial(index);
            partial[..columns + channels].fill(0.0);
            slice::from_raw_parts_mut(vectors, columns * L::N).fill(0.0);
            let (products, biases) = partial.split_at_mut(columns);
            let mut gradient_row = |z: usize, y: usize, which: usize| {
                let row = self.row(plan.slot(block), item.volume, z, y);
                let slope = self.row(plan.gradient_slot(), item.volume, z, y);
                let gradient = self.floats_of(row, which);
                for c in 0..channels {
                    let k = self.coefficients(block, item.volume, c);
                    through_normalisation::<L, E>(slope.add(c * pitch), row.add(c * pitch), gradient.add(c * pitch), pitch, k);
                }
                self.clear_tail(gradient);
                for c in 0..channels {
                    biases[c] += f64::from(row_sum::<L>(gradient.add(c * pitch), pitch));
                }
                self.keep(gradient, row);
                gradient.cast_const()
            };
            let mut rows_since = 0;
            let mut flush_after_row = || {
                rows_since = (rows_since + 1) % ROWS_A_FLUSH;
                if rows_since == 0 {
                    flush::<L>(vectors, products.as_mut_ptr(), columns);
                }
            };
            let source = |link, y, c, to| self.read_input(block, &item, link, y, c, to);
            if !plan.in_pairs(block) {
                self.over_planes(block, &item, inputs, source, |z, y, rows| {
                    accumulate_row::<L>(rows, gradient_row(z, y, 0), woven, vectors, &shape);
                    flush_after_row();
                });
                return flush::<L>(vectors, products.as_mut_ptr(), columns);
            }
            self.over_pairs(block, &item, inputs, source, |z, next, y, [first, sum, difference, second]| {
                let a = gradient_row(z, y, 0);
                let Some(z) = next else {
                    for rows in [first, sum, difference] {
                        accumulate_row::<L>(rows, a, woven, vectors, &shape);
                    }
                    return flush_after_row();
                };
                let b = gradient_row(z, y, 1);
                mix_gradients::<L>(a, b, mixed, mixed.add(length), length);
                accumulate_row::<L>(first, a, woven, vectors, &shape);
                accumulate_row::<L>(sum, mixed, woven, vectors, &shape);
                accumulate_row::<L>(difference, mixed.add(length), woven, vectors, &shape);
                accumulate_row::<L>(second, b, woven, vectors, &shape);
                flush_after_row();
            });
            flush::<L>(vectors, products.as_mut_ptr(), columns);
        };
        let items = self.items(plan.dilation(block));
        self.pass(items, work, || {
            let gradients = self.gradients().add(plan.parameters_of(block));
            for input in 0..inputs {
                for tap in 0..27 {
                    // Columns are (planes, 3, Ci, 3), weights (Co, Ci, 3, 3, 3).
                    let (kz, ky, kx) = (tap / 9, tap / 3 % 3, tap % 3);
                    for output in 0..channels {
                        let column =
                            |plane: usize| self.total(items, (((plane * 3 + ky) * inputs + input) * 3 + kx) * channels + output);
                        let gradient = if planes == 3 { column(kz) } else { unmix(kz, column) };
                        *gradients.add((output * inputs + input) * 27 + tap) = gradient as f32;
                    }
                }
            }
            if let Some(bias) = plan.block_parameters(block).bias {
                for c in 0..channels {
                    *self.gradients().add(bias + c) = self.total(items, columns + c) as f32;
                }
            }
        })
    }

    /// The gradient by the normalised values of the block before, from the gradient by this block's convolution's output.
    pub(crate) unsafe fn input_gradient(&self, block: usize) -> Option<()> {
        let plan = self.plan;
        let channels = plan.channels();
        let shape = self.shape(block, channels, channels);
        let weights = self.packed(block, true);
        let work = |index: usize| {
            let item = item(plan.depth(), plan.dilation(block), index);
            let partial = &mut self.partial(index)[..2 * channels];
            partial.fill(0.0);
            let source = |link: usize, y: usize, c: usize, to: *mut f32| {
                let z = item.residue + link * plan.dilation(block);
                self.read_floats(self.row(plan.slot(block), item.volume, z, y).add(c * plan.pitch), to)
            };
            self.convolve(block, &item, plan.gradient_slot(), weights, &shape, source, |z, y, to| {
                self.through_activation(to, block - 1, item.volume, z, y, partial);
            });
        };
        let items = self.items(plan.dilation(block));
        self.pass(items, work, || self.conclude_normalisation(block - 1, items, 0))
    }

    /// gradient (C, pitch), by a block's output -> by its normalised, scaled values, in place; sums of it, then of its
    /// products with the normalised values, are added to `partial`.
    #[inline(never)]
    pub(crate) unsafe fn through_activation(
        &self,
        gradient: *mut f32,
        block: usize,
        volume: usize,
        z: usize,
        y: usize,
        partial: &mut [f64],
    ) {
        L::enter(
            #[inline(always)]
            || {
                let plan = self.plan;
                let from = self.row(plan.slot(block), volume, z, y);
                for c in 0..plan.channels() {
                    let k = self.coefficients(block, volume, c);
                    let (scale, shift, factor) = (L::splat(k.scale), L::splat(k.shift), L::splat(k.factor));
                    let (gradient, from) = (gradient.add(c * plan.pitch), from.add(c * plan.pitch));
                    let mut x = 0;
                    while x < plan.pitch {
                        let slope = A::slope(E::load::<L>(from.add(x)).fma(scale, shift)).mul(factor);
                        L::load(gradient.add(x)).mul(slope).store(gradient.add(x));
                        x += L::N;
                    }
                }
                self.clear_tail(gradient);
                if plan.request.normalization != BATCH_NORM {
                    return;
                }
                for c in 0..plan.channels() {
                    let k = self.coefficients(block, volume, c);
                    let (gradient, from) = (gradient.add(c * plan.pitch), from.add(c * plan.pitch));
                    let (inverse, center) = (L::splat(k.inverse), L::splat(k.center));
                    let (mut sum, mut product) = (L::splat(0.0), L::splat(0.0));
                    let mut x = 0;
                    while x < plan.pitch {
                        let g = L::load(gradient.add(x));
                        sum = sum.add(g);
                        product = g.fma(E::load::<L>(from.add(x)).fma(inverse, center), product);
                        x += L::N;
                    }
                    partial[c] += f64::from(sum.sum());
                    partial[plan.channels() + c] += f64::from(product.sum());
                }
            },
        )
    }
}

/// to = gradient by z: from `slope`, the gradient by the normalised, scaled values. `to` may be z's place.
#[inline(never)]
unsafe fn through_normalisation<L: Lanes, E: Element>(
    slope: *const E,
    z: *const E,
    to: *mut f32,
    pitch: usize,
    k: &Coefficients,
) {
    L::enter(
        #[inline(always)]
        || {
            let (by_slope, by_z, constant) = (L::splat(k.by_slope), L::splat(k.by_z), L::splat(k.constant));
            let mut x = 0;
            while x < pitch {
                let rest = E::load::<L>(z.add(x)).fma(by_z, constant);
                E::load::<L>(slope.add(x)).fma(by_slope, rest).store(to.add(x));
                x += L::N;
            }
        },
    )
}
