//! The program that every thread of a team runs: forward, then loss and backward, one pass over the volume after the other.

use crate::coefficients::{self, moments, normalised, plain, Coefficients};
use crate::conv::{convolve_row, pack, RowShape, TapRow};
use crate::head::{row_sum, Head, Loss};
use crate::items::{item, items_per_volume, Item};
use crate::lanes::Lanes;
use crate::math::{Activation, Elu, Gelu, Relu};
use crate::pairs::{mix_gradients, separate, unmix};
use crate::plan::*;
use crate::ring::{activate_row, Ring};
use crate::team::{Team, BAD_LABEL};
use crate::weight_gradient::{accumulate_row, flush};
use core::marker::PhantomData;
use core::slice;

/// Rows whose products are added in single precision before they join the double-precision sums.
const ROWS_A_FLUSH: usize = 8;

/// Runs one thread's part; returns `team::DONE`, `CANCELLED` or `BAD_LABEL`, the same in every thread.
/// # Safety
/// `base` is the address of the memory that the plan was made for, its input regions filled; every thread of the team, and no other code,
/// works in it until all have returned.
pub unsafe fn run<L: Lanes>(plan: &Plan, base: usize, team: &Team, thread: usize) -> u32 {
    match plan.request.activation {
        ELU => Program::<L, Elu>::new(plan, base, team, thread).run(),
        RELU => Program::<L, Relu>::new(plan, base, team, thread).run(),
        _ => Program::<L, Gelu>::new(plan, base, team, thread).run(),
    };
    team.outcome()
}

struct Program<'a, L, A> {
    plan: &'a Plan,
    base: usize,
    team: &'a Team,
    thread: usize,
    kind: PhantomData<(L, A)>,
}

impl<'a, L: Lanes, A: Activation> Program<'a, L, A> {
    fn new(plan: &'a Plan, base: usize, team: &'a Team, thread: usize) -> Self {
        Self { plan, base, team, thread, kind: PhantomData }
    }

    /// None as soon as the work is stopped.
    unsafe fn run(&self) -> Option<()> {
        let plan = self.plan;
        self.prepare()?;
        for block in 0..plan.blocks() {
            self.forward(block, true)?;
        }
        self.head()?;
        if plan.request.mode != TRAIN {
            return Some(());
        }
        for block in (0..plan.blocks()).rev() {
            if block == plan.segment_end(block) && block + 1 < plan.blocks() {
                let every = plan.request.keep_every as usize;
                for again in block / every * every..block {
                    self.forward(again, false)?;
                }
            }
            self.weight_gradient(block)?;
            if block > 0 {
                self.input_gradient(block)?;
            }
        }
        Some(())
    }

    /// Counts the labels, packs the weights and, where they do not depend on the batch, sets the coefficients.
    unsafe fn prepare(&self) -> Option<()> {
        let plan = self.plan;
        let scored = plan.request.mode != FORWARD;
        let rows = if scored { plan.volumes() * plan.depth() } else { 0 };
        let size = plan.height() * plan.width();
        if scored {
            self.counts(self.thread).fill(0);
        }
        let truth = self.at(Region::Truth).cast_const();
        let count = |plane: usize| {
            let counts = self.counts(self.thread);
            for &label in slice::from_raw_parts(truth.add(plane * size), size) {
                counts[usize::from(label)] += 1;
            }
        };
        self.pass(rows, count, || {
            let unknown = |thread| self.counts(thread)[plan.classes()..256].iter().any(|&n| n > 0);
            if scored && (0..plan.threads()).any(unknown) {
                self.team.stop(BAD_LABEL);
                return;
            }
            for block in 0..plan.blocks() {
                let (weights, channels, inputs) = (self.parameters().add(plan.parameters_of(block)), plan.channels(), plan.inputs(block));
                pack(weights, self.packed(block, false), channels, inputs, plan.weight_planes(block), false);
                if block > 0 {
                    pack(weights, self.packed(block, true), inputs, channels, plan.weight_planes(block), true);
                }
                if plan.request.normalization == NO_NORM || (plan.request.normalization == BATCH_NORM && plan.request.mode != TRAIN) {
                    self.set_fixed_coefficients(block);
                }
            }
        })
    }

    /// Block's convolution of the activated output of the one before; `first`: its statistics and coefficients as well.
    unsafe fn forward(&self, block: usize, first: bool) -> Option<()> {
        let plan = self.plan;
        let normalization = plan.request.normalization;
        let measured = first && (normalization == INSTANCE_NORM || (normalization == BATCH_NORM && plan.request.mode == TRAIN));
        let channels = plan.channels();
        let shape = self.shape(block, plan.inputs(block), channels);
        let weights = self.packed(block, false);
        let work = |index: usize| {
            let item = item(plan.depth(), plan.dilation(block), index);
            let partial = self.partial(index);
            partial[..2 * channels].fill(0.0);
            let source = |link, y, c, to| self.read_input(block, &item, link, y, c, to);
            self.convolve(block, &item, plan.slot(block), weights, &shape, source, |_, _, to| {
                self.clear_tail(to);
                if measured {
                    for c in 0..channels {
                        let (sum, squares) = sums::<L>(to.add(c * plan.pitch), to.add(c * plan.pitch), plan.pitch);
                        partial[c] += f64::from(sum);
                        partial[channels + c] += f64::from(squares);
                    }
                }
            });
        };
        self.pass(self.items(plan.dilation(block)), work, || {
            if measured && normalization == INSTANCE_NORM {
                self.set_instance_coefficients(block);
            } else if measured {
                self.set_batch_coefficients(block);
            }
        })
    }

    /// The head over the last block: labels and logits, or the score, and when training the gradient down to the last
    /// block's normalised values.
    unsafe fn head(&self) -> Option<()> {
        let plan = self.plan;
        let (channels, classes, pitch, width) = (plan.channels(), plan.classes(), plan.pitch, plan.width());
        let (mode, last) = (plan.request.mode, plan.blocks() - 1);
        let parameters = self.parameters().add(plan.parameters_of(plan.blocks()));
        let head = Head {
            channels,
            classes,
            width,
            pitch,
            weights: slice::from_raw_parts(parameters, classes * channels),
            biases: slice::from_raw_parts(parameters.add(classes * channels), classes),
        };
        let loss = self.loss();
        let (by_weights, by_biases) = (classes * channels, classes);
        let work = |index: usize| {
            let item = item(plan.depth(), 1, index);
            let partial = self.partial(index);
            if mode != FORWARD {
                partial[..by_weights + by_biases + 1 + 2 * channels].fill(0.0);
            }
            let inputs = self.thread_memory(plan.thread.rows);
            let logits = inputs.add(channels * pitch);
            let slopes = logits.add(classes * pitch);
            let best = slopes.add(classes * pitch);
            let (largest, truth, losses) = (best.add(pitch), best.add(2 * pitch), best.add(3 * pitch));
            for z in item.first..item.end {
                if self.team.cancelled() {
                    return;
                }
                for y in 0..plan.height() {
                    let from = self.row(plan.slot(last), item.volume, z, y);
                    for c in 0..channels {
                        activate_row::<L, A>(from.add(c * pitch), inputs.add(c * pitch), pitch, self.coefficients(last, item.volume, c));
                    }
                    head.logits::<L>(inputs, logits);
                    head.argmax::<L>(logits, best, largest);
                    let voxel = ((item.volume * plan.depth() + z) * plan.height() + y) * width;
                    if plan.request.want_logits == 1 {
                        self.write_logits(logits, item.volume, (z * plan.height() + y) * width);
                    }
                    if mode == FORWARD {
                        let labels = self.at(Region::Labels).add(voxel);
                        for x in 0..width {
                            *labels.add(x) = *best.add(x) as u8;
                        }
                        continue;
                    }
                    let labels = self.at(Region::Truth).add(voxel);
                    let counts = &mut self.counts(self.thread)[256..];
                    for x in 0..width {
                        let label = *labels.add(x);
                        *truth.add(x) = f32::from(label);
                        counts[usize::from(label) * classes + *best.add(x) as usize] += 1;
                    }
                    slice::from_raw_parts_mut(truth.add(width), pitch - width).fill(0.0);
                    head.loss::<L>(&loss, logits, largest, truth, losses, slopes, mode == TRAIN);
                    let (weight_sums, rest) = partial.split_at_mut(by_weights);
                    let (bias_sums, rest) = rest.split_at_mut(by_biases);
                    rest[0] += f64::from(row_sum::<L>(losses, pitch));
                    if mode == TRAIN {
                        let gradient = self.row(plan.gradient_slot(), item.volume, z, y);
                        head.backward::<L>(inputs, slopes, gradient, weight_sums, bias_sums);
                        self.through_activation(gradient, last, item.volume, z, y, &mut rest[1..]);
                    }
                }
            }
        };
        self.pass(self.items(1), work, || {
            if mode == FORWARD {
                return;
            }
            let score = self.at(Region::Score).cast::<f64>();
            let items = self.items(1);
            *score = self.total(items, by_weights + by_biases) / loss.total;
            for pair in 0..classes * classes {
                *score.add(1 + pair) = (0..plan.threads()).map(|thread| self.counts(thread)[256 + pair]).sum::<u64>() as f64;
            }
            if mode == TRAIN {
                let gradients = self.gradients().add(plan.parameters_of(plan.blocks()));
                for i in 0..by_weights + by_biases {
                    *gradients.add(i) = self.total(items, i) as f32;
                }
                self.conclude_normalisation(last, items, by_weights + by_biases + 1);
            }
        })
    }

    /// Turns the gradient by a block's normalised values into that by its convolution's output, in place of that output, and
    /// gathers the gradient by the convolution's weights.
    unsafe fn weight_gradient(&self, block: usize) -> Option<()> {
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
            let mut gradient_row = |z: usize, y: usize| {
                let gradient = self.row(plan.slot(block), item.volume, z, y);
                let slope = self.row(plan.gradient_slot(), item.volume, z, y);
                for c in 0..channels {
                    let k = self.coefficients(block, item.volume, c);
                    through_normalisation::<L>(slope.add(c * pitch), gradient.add(c * pitch), pitch, k);
                }
                self.clear_tail(gradient);
                for c in 0..channels {
                    biases[c] += f64::from(row_sum::<L>(gradient.add(c * pitch), pitch));
                }
                gradient.cast_const()
            };
            let mut flush_after = |y: usize| {
                if y % ROWS_A_FLUSH == ROWS_A_FLUSH - 1 || y + 1 == plan.height() {
                    flush::<L>(vectors, products.as_mut_ptr(), columns);
                }
            };
            let source = |link, y, c, to| self.read_input(block, &item, link, y, c, to);
            if !plan.in_pairs(block) {
                return self.over_planes(block, &item, inputs, source, |z, y, rows| {
                    accumulate_row::<L>(rows, gradient_row(z, y), woven, vectors, &shape);
                    flush_after(y);
                });
            }
            self.over_pairs(block, &item, inputs, source, |z, next, y, [first, sum, difference, second]| {
                let a = gradient_row(z, y);
                let Some(z) = next else {
                    for rows in [first, sum, difference] {
                        accumulate_row::<L>(rows, a, woven, vectors, &shape);
                    }
                    return flush_after(y);
                };
                let b = gradient_row(z, y);
                mix_gradients::<L>(a, b, mixed, mixed.add(length), length);
                accumulate_row::<L>(first, a, woven, vectors, &shape);
                accumulate_row::<L>(sum, mixed, woven, vectors, &shape);
                accumulate_row::<L>(difference, mixed.add(length), woven, vectors, &shape);
                accumulate_row::<L>(second, b, woven, vectors, &shape);
                flush_after(y);
            });
        };
        let items = self.items(plan.dilation(block));
        self.pass(items, work, || {
            let gradients = self.gradients().add(plan.parameters_of(block));
            for input in 0..inputs {
                for tap in 0..27 {
                    // Columns are (planes, 3, Ci, 3), weights (Co, Ci, 3, 3, 3).
                    let (kz, ky, kx) = (tap / 9, tap / 3 % 3, tap % 3);
                    for output in 0..channels {
                        let column = |plane: usize| self.total(items, (((plane * 3 + ky) * inputs + input) * 3 + kx) * channels + output);
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
    unsafe fn input_gradient(&self, block: usize) -> Option<()> {
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
                let from = self.row(plan.slot(block), item.volume, z, y).add(c * plan.pitch);
                core::ptr::copy_nonoverlapping(from, to, plan.width());
            };
            self.convolve(block, &item, plan.gradient_slot(), weights, &shape, source, |z, y, to| {
                self.through_activation(to, block - 1, item.volume, z, y, partial);
            });
        };
        let items = self.items(plan.dilation(block));
        self.pass(items, work, || self.conclude_normalisation(block - 1, items, 0))
    }

    /// The convolution of an item's planes, into a tensor; `finish` gets z, y and every row of it.
    #[allow(clippy::too_many_arguments)]
    unsafe fn convolve(
        &self,
        block: usize,
        item: &Item,
        slot: usize,
        weights: *const f32,
        shape: &RowShape,
        source: impl Fn(usize, usize, usize, *mut f32),
        mut finish: impl FnMut(usize, usize, *mut f32),
    ) {
        let target = |z, y| self.row(slot, item.volume, z, y);
        if !self.plan.in_pairs(block) {
            return self.over_planes(block, item, shape.inputs, source, |z, y, rows| {
                convolve_row::<L>(rows, weights, target(z, y), shape);
                finish(z, y, target(z, y));
            });
        }
        let results = self.thread_memory(self.plan.thread.rows).add(2 * shape.pitch);
        let length = shape.outputs * shape.pitch;
        self.over_pairs(block, item, shape.inputs, source, |z, next, y, rows| {
            for (plane, rows) in rows.iter().enumerate() {
                convolve_row::<L>(rows, weights, results.add(plane * length), shape);
            }
            separate::<L>(results, target(z, y), next.map(|z| target(z, y)), length);
            finish(z, y, target(z, y));
            if let Some(z) = next {
                finish(z, y, target(z, y));
            }
        })
    }

    fn ring(&self, block: usize, inputs: usize) -> Ring {
        let plan = self.plan;
        let memory = unsafe { self.thread_memory(plan.thread.ring) };
        Ring::new(memory, inputs, plan.height(), plan.width(), plan.pitch, plan.dilation(block))
    }

    /// Walks an item plane by plane. `source(link, y, c, to)` reads a row; `each` gets z, y and the tap rows of an output row.
    unsafe fn over_planes(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32),
        mut each: impl FnMut(usize, usize, &[TapRow]),
    ) {
        let (height, dilation) = (self.plan.height(), self.plan.dilation(block));
        let ring = self.ring(block, inputs);
        ring.clear(3);
        let mut filled = item.first.saturating_sub(1);
        for j in item.first..item.end {
            while filled < (j + 2).min(item.links) {
                ring.fill(filled % 3, |y, c, to| source(filled, y, c, to));
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
    unsafe fn over_pairs(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32),
        mut each: impl FnMut(usize, Option<usize>, usize, [&[TapRow]; 4]),
    ) {
        let plan = self.plan;
        let (height, dilation) = (plan.height(), plan.dilation(block));
        let ring = self.ring(block, inputs);
        let scratch = self.thread_memory(plan.thread.rows);
        ring.clear(6);
        if item.first > 0 {
            ring.fill(4, |y, c, to| source(item.first - 1, y, c, to));
        }
        ring.fill(5, |y, c, to| source(item.first, y, c, to));
        for j in (item.first..item.end).step_by(2) {
            let there = |link: usize| (link < item.links).then_some(link);
            ring.fill_pair::<L>([there(j + 1), there(j + 2)], scratch, plan.pitch, &source);
            if self.team.cancelled() {
                return;
            }
            let z = item.residue + j * dilation;
            let next = there(j + 1).map(|_| z + dilation);
            for y in 0..height {
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

    /// A row of what a block reads: the image, or the activated output of the block before.
    #[inline(always)]
    unsafe fn read_input(&self, block: usize, item: &Item, link: usize, y: usize, c: usize, to: *mut f32) {
        let plan = self.plan;
        let (width, z) = (plan.width(), item.residue + link * plan.dilation(block));
        if block > 0 {
            let from = self.row(plan.slot(block - 1), item.volume, z, y).add(c * plan.pitch);
            return activate_row::<L, A>(from, to, plan.pitch, self.coefficients(block - 1, item.volume, c));
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
    }

    /// gradient (C, pitch), by a block's output -> by its normalised, scaled values, in place; sums of it, then of its
    /// products with the normalised values, are added to `partial`.
    unsafe fn through_activation(&self, gradient: *mut f32, block: usize, volume: usize, z: usize, y: usize, partial: &mut [f64]) {
        let plan = self.plan;
        let from = self.row(plan.slot(block), volume, z, y);
        for c in 0..plan.channels() {
            let k = self.coefficients(block, volume, c);
            let (scale, shift, factor) = (L::splat(k.scale), L::splat(k.shift), L::splat(k.factor));
            let (gradient, from) = (gradient.add(c * plan.pitch), from.add(c * plan.pitch));
            let mut x = 0;
            while x < plan.pitch {
                let slope = A::slope(L::load(from.add(x)).fma(scale, shift)).mul(factor);
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
                product = g.fma(L::load(from.add(x)).fma(inverse, center), product);
                x += L::N;
            }
            partial[c] += f64::from(sum.sum());
            partial[plan.channels() + c] += f64::from(product.sum());
        }
    }

    /// With the sums of `through_activation`, which begin at `first` of every item's: the gradients by BatchNorm's weight and
    /// offset, and the coefficients of the way back.
    unsafe fn conclude_normalisation(&self, block: usize, items: usize, first: usize) {
        let plan = self.plan;
        if plan.request.normalization != BATCH_NORM {
            return;
        }
        let at = plan.block_parameters(block);
        for c in 0..plan.channels() {
            let gradient = self.total(items, first + c);
            let product = self.total(items, first + plan.channels() + c);
            *self.gradients().add(at.weight + c) = product as f32;
            *self.gradients().add(at.offset + c) = gradient as f32;
            for volume in 0..plan.volumes() {
                self.coefficients_mut(block, volume, c).set_backward(gradient, product, self.samples());
            }
        }
    }

    unsafe fn set_fixed_coefficients(&self, block: usize) {
        let (plan, at) = (self.plan, self.plan.block_parameters(block));
        let value = |index: usize| f64::from(*self.parameters().add(index));
        for c in 0..plan.channels() {
            let bias = at.bias.map_or(0.0, |bias| value(bias + c));
            for volume in 0..plan.volumes() {
                let factor = self.dropout(block, volume, c);
                *self.coefficients_mut(block, volume, c) = if plan.request.normalization == NO_NORM {
                    plain(bias, factor)
                } else {
                    let running = self.at(Region::Statistics).cast::<f32>().add(2 * plan.channels() * block + c);
                    let (mean, variance) = (f64::from(*running), f64::from(*running.add(plan.channels())));
                    normalised::<L>(mean - bias, variance, value(at.weight + c), value(at.offset + c), factor)
                };
            }
        }
    }

    unsafe fn set_batch_coefficients(&self, block: usize) {
        let (plan, at) = (self.plan, self.plan.block_parameters(block));
        let value = |index: usize| f64::from(*self.parameters().add(index));
        let items = self.items(plan.dilation(block));
        for c in 0..plan.channels() {
            let (mean, variance) = moments(self.total(items, c), self.total(items, plan.channels() + c), self.samples());
            let bias = at.bias.map_or(0.0, |bias| value(bias + c));
            let measured = self.at(Region::BatchStatistics).cast::<f32>().add(2 * plan.channels() * block + c);
            *measured = (mean + bias) as f32;
            *measured.add(plan.channels()) = variance as f32;
            for volume in 0..plan.volumes() {
                let factor = self.dropout(block, volume, c);
                *self.coefficients_mut(block, volume, c) = normalised::<L>(mean, variance, value(at.weight + c), value(at.offset + c), factor);
            }
        }
    }

    unsafe fn set_instance_coefficients(&self, block: usize) {
        let plan = self.plan;
        let each = items_per_volume(plan.depth(), plan.dilation(block));
        for volume in 0..plan.volumes() {
            for c in 0..plan.channels() {
                let total = |index: usize| (volume * each..(volume + 1) * each).map(|item| self.partial(item)[index]).sum();
                let (mean, variance) = moments(total(c), total(plan.channels() + c), plan.voxels() as f64);
                *self.coefficients_mut(block, volume, c) = normalised::<L>(mean, variance, 1.0, 0.0, 1.0);
            }
        }
    }

    unsafe fn loss(&self) -> Loss<'a> {
        let plan = self.plan;
        let spec = self.at(Region::Loss).cast::<f64>();
        let weights = slice::from_raw_parts(spec, plan.classes());
        let count = |class: usize| (0..plan.threads()).map(|thread| self.counts(thread)[class]).sum::<u64>() as f64;
        let scored = plan.request.mode != FORWARD;
        let total = weights.iter().enumerate().map(|(k, w)| if scored { w * count(k) } else { 0.0 }).sum();
        Loss { weights, smoothing: *spec.add(plan.classes()), total }
    }

    unsafe fn write_logits(&self, logits: *const f32, volume: usize, voxel: usize) {
        let plan = self.plan;
        let to = self.at(Region::Logits).cast::<f32>();
        for k in 0..plan.classes() {
            let to = to.add((volume * plan.classes() + k) * plan.voxels() + voxel);
            core::ptr::copy_nonoverlapping(logits.add(k * plan.pitch), to, plan.width());
        }
    }

    /// Sets a row (C, pitch) to zero beyond the width.
    unsafe fn clear_tail(&self, row: *mut f32) {
        for c in 0..self.plan.channels() {
            for x in self.plan.width()..self.plan.pitch {
                *row.add(c * self.plan.pitch + x) = 0.0;
            }
        }
    }

    fn shape(&self, block: usize, inputs: usize, outputs: usize) -> RowShape {
        let (dilation, pitch) = (self.plan.dilation(block), self.plan.pitch);
        RowShape { planes: self.plan.weight_planes(block), inputs, outputs, dilation, input_pitch: ring_pitch(pitch, dilation), pitch }
    }

    fn pass(&self, items: usize, work: impl Fn(usize), conclude: impl FnOnce()) -> Option<()> {
        self.team.pass(self.thread, self.plan.threads(), items, work, conclude).then_some(())
    }

    fn items(&self, dilation: usize) -> usize {
        self.plan.volumes() * items_per_volume(self.plan.depth(), dilation)
    }

    fn samples(&self) -> f64 {
        (self.plan.volumes() * self.plan.voxels()) as f64
    }

    unsafe fn at(&self, region: Region) -> *mut u8 {
        (self.base + self.plan.offset(region) as usize) as *mut u8
    }
    unsafe fn parameters(&self) -> *const f32 {
        self.at(Region::Parameters).cast()
    }
    unsafe fn gradients(&self) -> *mut f32 {
        self.at(Region::Gradients).cast()
    }
    unsafe fn packed(&self, block: usize, backward: bool) -> *mut f32 {
        // Up to four planes for three, so four thirds of the parameters before.
        let before = |parameters: usize| (4 * parameters).div_ceil(3);
        let half = if backward { before(self.plan.parameter_count()) } else { 0 };
        self.at(Region::Packed).cast::<f32>().add(half + before(self.plan.parameters_of(block)))
    }
    unsafe fn dropout(&self, block: usize, volume: usize, c: usize) -> f32 {
        let plan = self.plan;
        if plan.request.mode != TRAIN {
            return 1.0;
        }
        *self.at(Region::Dropout).cast::<f32>().add((volume * plan.blocks() + block) * plan.channels() + c)
    }
    unsafe fn coefficients_at(&self, block: usize, volume: usize, c: usize) -> *mut Coefficients {
        let plan = self.plan;
        self.at(Region::Coefficients).cast::<Coefficients>().add((block * plan.volumes() + volume) * plan.channels() + c)
    }
    unsafe fn coefficients(&self, block: usize, volume: usize, c: usize) -> &coefficients::Coefficients {
        &*self.coefficients_at(block, volume, c)
    }
    #[allow(clippy::mut_from_ref)]
    unsafe fn coefficients_mut(&self, block: usize, volume: usize, c: usize) -> &mut Coefficients {
        &mut *self.coefficients_at(block, volume, c)
    }
    #[allow(clippy::mut_from_ref)]
    unsafe fn partial(&self, item: usize) -> &mut [f64] {
        let at = self.at(Region::Partials).cast::<f64>().add(item * self.plan.partial);
        slice::from_raw_parts_mut(at, self.plan.partial)
    }
    /// The sum over items, in their order, of one of their partial sums.
    unsafe fn total(&self, items: usize, index: usize) -> f64 {
        (0..items).map(|item| self.partial(item)[index]).sum()
    }
    unsafe fn thread_memory(&self, offset: u64) -> *mut f32 {
        self.memory_of(self.thread, offset).cast()
    }
    unsafe fn memory_of(&self, thread: usize, offset: u64) -> *mut u8 {
        self.at(Region::Threads).add(thread * self.plan.thread.size as usize + offset as usize)
    }
    /// A thread's counts: of the labels 0..256, then of every (truth, prediction).
    #[allow(clippy::mut_from_ref)]
    unsafe fn counts(&self, thread: usize) -> &mut [u64] {
        let count = 256 + self.plan.classes() * self.plan.classes();
        slice::from_raw_parts_mut(self.memory_of(thread, self.plan.thread.counts).cast(), count)
    }
    unsafe fn row(&self, slot: usize, volume: usize, z: usize, y: usize) -> *mut f32 {
        let plan = self.plan;
        let row = (volume * plan.depth() + z) * plan.height() + y;
        let tensor = self.at(Region::Tensors).add(slot * plan.tensor_bytes() as usize);
        tensor.cast::<f32>().add(row * plan.channels() * plan.pitch)
    }
}

/// z = gradient by z: from `slope`, the gradient by the normalised, scaled values.
#[inline(always)]
unsafe fn through_normalisation<L: Lanes>(slope: *const f32, z: *mut f32, pitch: usize, k: &Coefficients) {
    let (by_slope, by_z, constant) = (L::splat(k.by_slope), L::splat(k.by_z), L::splat(k.constant));
    let mut x = 0;
    while x < pitch {
        let rest = L::load(z.add(x)).fma(by_z, constant);
        L::load(slope.add(x)).fma(by_slope, rest).store(z.add(x));
        x += L::N;
    }
}

/// The sum of a row, and of its products with another.
#[inline(always)]
unsafe fn sums<L: Lanes>(a: *const f32, b: *const f32, pitch: usize) -> (f32, f32) {
    let (mut sum, mut product) = (L::splat(0.0), L::splat(0.0));
    let mut x = 0;
    while x < pitch {
        let value = L::load(a.add(x));
        sum = sum.add(value);
        product = value.fma(L::load(b.add(x)), product);
        x += L::N;
    }
    (sum.sum(), product.sum())
}
