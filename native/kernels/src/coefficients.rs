//! What stands between a convolution's output z (without bias) and the next block's input: factor * activation(scale * z +
//! shift), and the way back.

use crate::lanes::Lanes;
use crate::plan::*;

pub const EPSILON: f64 = 1e-5;

/// For one channel of one block in one volume.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Coefficients {
    pub scale: f32,
    pub shift: f32,
    /// Dropout: 0 or 1 / (1 - probability).
    pub factor: f32,
    /// The normalised value is inverse * z + center.
    pub inverse: f32,
    pub center: f32,
    /// Gradient by z: by_slope * (gradient by the normalised, scaled value) + by_z * z + constant.
    pub by_slope: f32,
    pub by_z: f32,
    pub constant: f32,
}

/// Mean and biased variance from a sum and a sum of squares.
pub fn moments(sum: f64, squares: f64, samples: f64) -> (f64, f64) {
    let mean = sum / samples;
    (mean, (squares / samples - mean * mean).max(0.0))
}

/// Of a channel whose bias is `bias`, with mean and variance of z without it.
pub fn normalised<L: Lanes>(mean: f64, variance: f64, weight: f64, offset: f64, factor: f32) -> Coefficients {
    let inverse = 1.0 / L::sqrt64(variance + EPSILON);
    Coefficients {
        scale: (weight * inverse) as f32,
        shift: (offset - weight * inverse * mean) as f32,
        factor,
        inverse: inverse as f32,
        center: (-mean * inverse) as f32,
        by_slope: 1.0,
        by_z: 0.0,
        constant: 0.0,
    }
}

pub fn plain(bias: f64, factor: f32) -> Coefficients {
    Coefficients { scale: 1.0, shift: bias as f32, factor, inverse: 0.0, center: 0.0, by_slope: 1.0, by_z: 0.0, constant: 0.0 }
}

impl Coefficients {
    /// The way back through batch normalisation, from the sums over `samples` voxels of the gradient by the normalised, scaled
    /// value, and of its product with the normalised value.
    pub fn set_backward(&mut self, gradient: f64, product: f64, samples: f64) {
        let (scale, inverse, center) = (f64::from(self.scale), f64::from(self.inverse), f64::from(self.center));
        self.by_slope = self.scale;
        self.by_z = (-scale * inverse * product / samples) as f32;
        self.constant = (-scale * (gradient + center * product) / samples) as f32;
    }
}

/// Where a block's bias, weight and offset (each one a channel) lie among the parameters.
pub struct BlockParameters {
    pub bias: Option<usize>,
    pub weight: usize,
    pub offset: usize,
}

impl Plan {
    pub fn block_parameters(&self, block: usize) -> BlockParameters {
        let c = self.channels();
        let bias = self.parameters_of(block) + 27 * c * self.inputs(block);
        let weight = bias + c * self.bias();
        BlockParameters { bias: (self.bias() == 1).then_some(bias), weight, offset: weight + c }
    }
}
