//! The 1x1x1 convolution, the labels, the loss and their gradients, a row at a time. Each is a function of its own, also after
//! inlining, so that a runtime that optimises function by function gets to it within the first planes.

use crate::lanes::Lanes;

/// The head's weights (classes, channels) and biases, and the loss, as a row needs them.
pub struct Head<'a> {
    pub channels: usize,
    pub classes: usize,
    pub pitch: usize,
    pub weights: &'a [f32],
    pub biases: &'a [f32],
}

/// Weighted cross-entropy with label smoothing, as PyTorch defines it, divided by the sum of the voxels' weights.
pub struct Loss<'a> {
    pub weights: &'a [f64],
    pub smoothing: f64,
    /// Sum over all voxels of the weight of their class.
    pub total: f64,
}

impl Head<'_> {
    /// logits (K, pitch) = W * inputs (C, pitch) + b. Overwrites.
    /// # Safety
    /// The rows have those sizes; the pitch is a multiple of the lanes.
    #[inline(never)]
    pub unsafe fn logits<L: Lanes>(&self, inputs: *const f32, logits: *mut f32) {
        L::enter(
            #[inline(always)]
            || {
                for k in 0..self.classes {
                    let weights = &self.weights[k * self.channels..(k + 1) * self.channels];
                    let mut x = 0;
                    while x < self.pitch {
                        let mut sum = L::splat(self.biases[k]);
                        for (c, &w) in weights.iter().enumerate() {
                            sum = L::load(inputs.add(c * self.pitch + x)).fma(L::splat(w), sum);
                        }
                        sum.store(logits.add(k * self.pitch + x));
                        x += L::N;
                    }
                }
            },
        )
    }

    /// best (pitch) = the class with the largest logit, the lowest of equal ones; largest (pitch) = that logit.
    /// # Safety
    /// As `logits`.
    #[inline(never)]
    pub unsafe fn argmax<L: Lanes>(&self, logits: *const f32, best: *mut f32, largest: *mut f32) {
        L::enter(
            #[inline(always)]
            || {
                let mut x = 0;
                while x < self.pitch {
                    let mut most = L::load(logits.add(x));
                    let mut class = L::splat(0.0);
                    for k in 1..self.classes {
                        let logit = L::load(logits.add(k * self.pitch + x));
                        let more = logit.greater(most);
                        most = more.select(logit, most);
                        class = more.select(L::splat(k as f32), class);
                    }
                    most.store(largest.add(x));
                    class.store(best.add(x));
                    x += L::N;
                }
            },
        )
    }

    /// loss (pitch) = every voxel's share of the loss before the division; slopes (K, pitch) = gradient of the loss by the
    /// logits, or nothing for the loss alone. `truth` and `largest` (pitch) are floats.
    /// # Safety
    /// As `logits`.
    #[inline(never)]
    pub unsafe fn loss<L: Lanes>(
        &self,
        spec: &Loss,
        logits: *const f32,
        largest: *const f32,
        truth: *const f32,
        loss: *mut f32,
        slopes: *mut f32,
        with_slopes: bool,
    ) {
        L::enter(
            #[inline(always)]
            || {
                let classes = self.classes;
                let all: f64 = spec.weights.iter().sum();
                let sharp = L::splat((1.0 - spec.smoothing) as f32);
                let smooth = L::splat((spec.smoothing / classes as f64) as f32);
                let inverse_total = L::splat((1.0 / spec.total) as f32);
                let all = L::splat(all as f32);
                let zero = L::splat(0.0);
                let mut x = 0;
                while x < self.pitch {
                    let most = L::load(largest.add(x));
                    let label = L::load(truth.add(x));
                    let (mut sum, mut own_weight, mut own_logit, mut weighted) = (zero, zero, zero, zero);
                    for k in 0..classes {
                        let logit = L::load(logits.add(k * self.pitch + x)).sub(most);
                        let weight = L::splat(spec.weights[k] as f32);
                        let own = label.equal(L::splat(k as f32));
                        let e = crate::math::exp(logit);
                        sum = sum.add(e);
                        own_weight = own.select(weight, own_weight);
                        own_logit = own.select(logit, own_logit);
                        weighted = logit.fma(weight, weighted);
                        if with_slopes {
                            e.store(slopes.add(k * self.pitch + x));
                        }
                    }
                    let log = crate::math::ln(sum);
                    let hard = own_weight.mul(log.sub(own_logit));
                    let soft = all.mul(log).sub(weighted);
                    sharp.mul(hard).add(smooth.mul(soft)).store(loss.add(x));
                    if with_slopes {
                        let inverse = L::splat(1.0).div(sum);
                        let by_probability = sharp.mul(own_weight).add(smooth.mul(all));
                        for k in 0..classes {
                            let to = slopes.add(k * self.pitch + x);
                            let weight = L::splat(spec.weights[k] as f32);
                            let own = label.equal(L::splat(k as f32)).select(sharp.mul(own_weight), zero);
                            let slope = L::load(to).mul(inverse).mul(by_probability).sub(own).sub(smooth.mul(weight));
                            slope.mul(inverse_total).store(to);
                        }
                    }
                    x += L::N;
                }
            },
        )
    }

    /// by_weights (K, C), by_biases (K) += this row's; gradient (C, pitch) = W^T * slopes, overwritten.
    /// # Safety
    /// As `logits`.
    #[inline(never)]
    pub unsafe fn backward<L: Lanes>(
        &self,
        inputs: *const f32,
        slopes: *const f32,
        gradient: *mut f32,
        by_weights: &mut [f64],
        by_biases: &mut [f64],
    ) {
        L::enter(
            #[inline(always)]
            || {
                for k in 0..self.classes {
                    by_biases[k] += f64::from(row_sum::<L>(slopes.add(k * self.pitch), self.pitch));
                    for c in 0..self.channels {
                        let mut sum = L::splat(0.0);
                        let mut x = 0;
                        while x < self.pitch {
                            sum = L::load(inputs.add(c * self.pitch + x)).fma(L::load(slopes.add(k * self.pitch + x)), sum);
                            x += L::N;
                        }
                        by_weights[k * self.channels + c] += f64::from(sum.sum());
                    }
                }
                for c in 0..self.channels {
                    let mut x = 0;
                    while x < self.pitch {
                        let mut sum = L::splat(0.0);
                        for k in 0..self.classes {
                            sum = L::load(slopes.add(k * self.pitch + x)).fma(L::splat(self.weights[k * self.channels + c]), sum);
                        }
                        sum.store(gradient.add(c * self.pitch + x));
                        x += L::N;
                    }
                }
            },
        )
    }
}

/// # Safety
/// `row` holds `pitch` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn row_sum<L: Lanes>(row: *const f32, pitch: usize) -> f32 {
    L::enter(
        #[inline(always)]
        || {
            let mut sum = L::splat(0.0);
            let mut x = 0;
            while x < pitch {
                sum = sum.add(L::load(row.add(x)));
                x += L::N;
            }
            sum.sum()
        },
    )
}
