//! The pass over the last block's output: labels, logits, loss, and when training the way back through the head.

use crate::element::Element;
use crate::head::{row_sum, Head, Loss};
use crate::items::item;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::plan::Region;
use crate::request::{FORWARD, TRAIN};
use crate::ring::activate_row;
use crate::run::Program;
use core::slice;

/// Classes whose pairs are counted in tables on the stack.
const FEW_CLASSES: usize = 8;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// The head over the last block: labels and logits, or the score, and when training the gradient down to the last
    /// block's normalised values.
    pub(crate) unsafe fn head(&self) -> Option<()> {
        let plan = self.plan;
        let (channels, classes, pitch, width) = (plan.channels(), plan.classes(), plan.pitch, plan.width());
        let (mode, last) = (plan.request.mode, plan.blocks() - 1);
        let parameters = self.parameters().add(plan.parameters_of(plan.blocks()));
        let head = Head {
            channels,
            classes,
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
            // As where labels are counted, in four tables in turn.
            let (few, mut tables) = (classes <= FEW_CLASSES, [[0u64; FEW_CLASSES * FEW_CLASSES]; 4]);
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
                        activate_row::<L, E, A>(
                            from.add(c * pitch),
                            inputs.add(c * pitch),
                            pitch,
                            self.coefficients(last, item.volume, c),
                            channels * pitch,
                        );
                    }
                    head.logits::<L>(inputs, logits);
                    head.argmax::<L>(logits, best, largest);
                    let voxel = ((item.volume * plan.depth() + z) * plan.height() + y) * width;
                    if plan.request.want_logits == 1 {
                        self.write_logits(logits, item.volume, (z * plan.height() + y) * width);
                    }
                    if mode == FORWARD {
                        let labels = self.at(Region::Labels).add(voxel);
                        plan.places(0..width, |x, place| *labels.add(x) = *best.add(place) as u8);
                        continue;
                    }
                    let labels = self.at(Region::Truth).add(voxel);
                    let counts = &mut self.counts(self.thread)[256..];
                    plan.places(0..width, |x, place| {
                        let label = *labels.add(x);
                        *truth.add(place) = f32::from(label);
                        let pair = usize::from(label) * classes + *best.add(place) as usize;
                        if few {
                            tables[x % 4][pair] += 1;
                        } else {
                            counts[pair] += 1;
                        }
                    });
                    plan.clear_beyond(truth);
                    head.loss::<L>(&loss, logits, largest, truth, losses, slopes, mode == TRAIN);
                    plan.clear_beyond(losses);
                    let (weight_sums, rest) = partial.split_at_mut(by_weights);
                    let (bias_sums, rest) = rest.split_at_mut(by_biases);
                    rest[0] += f64::from(row_sum::<L>(losses, pitch));
                    if mode == TRAIN {
                        let row = self.row(plan.gradient_slot(last), item.volume, z, y);
                        let gradient = self.floats(0);
                        for k in 0..classes {
                            plan.clear_beyond(slopes.add(k * pitch));
                        }
                        head.backward::<L>(inputs, slopes, gradient, weight_sums, bias_sums);
                        self.through_activation(
                            gradient,
                            row,
                            core::ptr::null_mut(),
                            last,
                            item.volume,
                            z,
                            y,
                            &mut rest[1..],
                            channels * pitch,
                        );
                    }
                }
            }
            if mode != FORWARD && few {
                for (pair, count) in self.counts(self.thread)[256..].iter_mut().enumerate() {
                    *count += tables.iter().map(|table| table[pair]).sum::<u64>();
                }
            }
            if mode == TRAIN {
                L::end_streams();
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

    pub(crate) unsafe fn loss(&self) -> Loss<'a> {
        let plan = self.plan;
        let spec = self.at(Region::Loss).cast::<f64>();
        let weights = slice::from_raw_parts(spec, plan.classes());
        let count = |class: usize| (0..plan.threads()).map(|thread| self.counts(thread)[class]).sum::<u64>() as f64;
        let scored = plan.request.mode != FORWARD;
        let total = weights.iter().enumerate().map(|(k, w)| if scored { w * count(k) } else { 0.0 }).sum();
        Loss { weights, smoothing: *spec.add(plan.classes()), total }
    }

    pub(crate) unsafe fn write_logits(&self, logits: *const f32, volume: usize, voxel: usize) {
        let plan = self.plan;
        let to = self.at(Region::Logits).cast::<f32>();
        for k in 0..plan.classes() {
            let (from, to) = (logits.add(k * plan.pitch), to.add((volume * plan.classes() + k) * plan.voxels() + voxel));
            plan.places(0..plan.width(), |x, place| *to.add(x) = *from.add(place));
        }
    }
}
