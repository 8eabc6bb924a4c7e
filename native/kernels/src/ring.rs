//! Three neighbouring planes of a chain, as a convolution reads them: activated once, with zeros to the left and right.

use crate::coefficients::Coefficients;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::plan::{ring_padding, ring_pitch};
use core::slice;

/// A thread's ring: planes (H, C, pitch), a row's first voxel `padding` floats after the row's start.
#[derive(Clone, Copy)]
pub struct Ring {
    pub start: *mut f32,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub dilation: usize,
    pub pitch: usize,
}

impl Ring {
    pub fn new(start: *mut f32, channels: usize, height: usize, width: usize, row: usize, dilation: usize) -> Self {
        Self { start, channels, height, width, dilation, pitch: ring_pitch(row, dilation) }
    }

    /// Row y of the chain's j-th plane: channel 0, `dilation` floats before voxel 0, which is where the leftmost tap begins.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out.
    #[inline(always)]
    pub unsafe fn taps(&self, j: usize, y: usize) -> *const f32 {
        self.row(j, y).add(ring_padding(self.dilation) - self.dilation)
    }

    #[inline(always)]
    unsafe fn row(&self, j: usize, y: usize) -> *mut f32 {
        self.start.add(((j % 3) * self.height + y) * self.channels * self.pitch)
    }

    /// Fills plane j: `write(y, c, to)` writes `width` floats and may write on to the end of the row's last vector.
    /// # Safety
    /// As `taps`; `write` keeps to its row.
    #[inline(always)]
    pub unsafe fn fill(&self, j: usize, write: impl Fn(usize, usize, *mut f32)) {
        let padding = ring_padding(self.dilation);
        for y in 0..self.height {
            for c in 0..self.channels {
                let row = self.row(j, y).add(c * self.pitch);
                let line = slice::from_raw_parts_mut(row, self.pitch);
                line[..padding].fill(0.0);
                write(y, c, row.add(padding));
                line[padding + self.width..].fill(0.0);
            }
        }
    }
}

/// to = factor * activation(scale * z + shift) of one row.
/// # Safety
/// Both rows hold `pitch` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn activate_row<L: Lanes, A: Activation>(z: *const f32, to: *mut f32, pitch: usize, k: &Coefficients) {
    let (scale, shift, factor) = (L::splat(k.scale), L::splat(k.shift), L::splat(k.factor));
    let mut x = 0;
    while x < pitch {
        A::value(L::load(z.add(x)).fma(scale, shift)).mul(factor).store(to.add(x));
        x += L::N;
    }
}
