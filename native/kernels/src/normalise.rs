//! From sums over items to coefficients: what a pass concludes with.

use crate::coefficients::{moments, normalised, plain};
use crate::element::Element;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::plan::Region;
use crate::request::{BATCH_NORM, INSTANCE_NORM, NO_NORM};
use crate::run::Program;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// With the sums of `through_activation`, which begin at `first` of every item's: the gradients by the convolution's bias, by
    /// BatchNorm's weight and offset, and the coefficients of the way back.
    pub(crate) unsafe fn conclude_normalisation(&self, block: usize, items: usize, first: usize) {
        let plan = self.plan;
        let at = plan.block_parameters(block);
        let normalised = plan.request.normalization == BATCH_NORM;
        for c in 0..plan.channels() {
            let gradient = self.total(items, first + c);
            if let Some(bias) = at.bias {
                // BatchNorm takes a bias away again.
                *self.gradients().add(bias + c) = if normalised { 0.0 } else { gradient as f32 };
            }
            if !normalised {
                continue;
            }
            let product = self.total(items, first + plan.channels() + c);
            *self.gradients().add(at.weight + c) = product as f32;
            *self.gradients().add(at.offset + c) = gradient as f32;
            for volume in 0..plan.volumes() {
                self.coefficients_mut(block, volume, c).set_backward(gradient, product, self.samples());
            }
        }
    }

    pub(crate) unsafe fn set_fixed_coefficients(&self, block: usize) {
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

    /// From the sums over `items` that `keep_measured` makes.
    pub(crate) unsafe fn set_measured_coefficients(&self, block: usize, items: usize) {
        if self.plan.request.normalization == INSTANCE_NORM {
            self.set_instance_coefficients(block, items);
        } else {
            self.set_batch_coefficients(block, items);
        }
    }

    unsafe fn set_batch_coefficients(&self, block: usize, items: usize) {
        let (plan, at) = (self.plan, self.plan.block_parameters(block));
        let value = |index: usize| f64::from(*self.parameters().add(index));
        for c in 0..plan.channels() {
            let (mean, variance) = moments(self.total(items, c), self.total(items, plan.channels() + c), self.samples());
            let bias = at.bias.map_or(0.0, |bias| value(bias + c));
            let measured = self.at(Region::BatchStatistics).cast::<f32>().add(2 * plan.channels() * block + c);
            *measured = (mean + bias) as f32;
            *measured.add(plan.channels()) = variance as f32;
            for volume in 0..plan.volumes() {
                let factor = self.dropout(block, volume, c);
                *self.coefficients_mut(block, volume, c) =
                    normalised::<L>(mean, variance, value(at.weight + c), value(at.offset + c), factor);
            }
        }
    }

    unsafe fn set_instance_coefficients(&self, block: usize, items: usize) {
        let plan = self.plan;
        let each = items / plan.volumes();
        for volume in 0..plan.volumes() {
            for c in 0..plan.channels() {
                let total = |index: usize| (volume * each..(volume + 1) * each).map(|item| self.partial(item)[index]).sum();
                let (mean, variance) = moments(total(c), total(plan.channels() + c), plan.voxels() as f64);
                *self.coefficients_mut(block, volume, c) = normalised::<L>(mean, variance, 1.0, 0.0, 1.0);
            }
        }
    }
}
