//! The planes that a convolution reads: activated once, with zeros to the left and right. Three neighbours of a chain; or, for
//! `crate::pairs`, four mixed planes and two that are kept for the next pair.

use crate::coefficients::Coefficients;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::pairs::mix_inputs;
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

    /// Row y of a plane: channel 0, `dilation` floats before voxel 0, which is where the leftmost tap begins.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out.
    #[inline(always)]
    pub unsafe fn taps(&self, plane: usize, y: usize) -> *const f32 {
        self.voxels(plane, y, 0).sub(self.dilation)
    }

    /// Voxel 0 of a row.
    #[inline(always)]
    unsafe fn voxels(&self, plane: usize, y: usize, c: usize) -> *mut f32 {
        self.start.add(((plane * self.height + y) * self.channels + c) * self.pitch + ring_padding(self.dilation))
    }

    /// Sets the first planes to zero.
    /// # Safety
    /// As `taps`.
    pub unsafe fn clear(&self, planes: usize) {
        slice::from_raw_parts_mut(self.start, planes * self.height * self.channels * self.pitch).fill(0.0);
    }

    /// Fills a plane whose padding is zero: `write(y, c, to)` writes a row, and may write on to the end of its last vector.
    /// # Safety
    /// As `taps`; `write` keeps to its row.
    #[inline(always)]
    pub unsafe fn fill(&self, plane: usize, write: impl Fn(usize, usize, *mut f32)) {
        for y in 0..self.height {
            for c in 0..self.channels {
                let row = self.voxels(plane, y, c);
                write(y, c, row);
                self.clear_tail(row);
            }
        }
    }

    /// Planes 0 to 3 = the mixed planes of a pair, from planes 4 and 5 and two new ones, which take their place; a plane that
    /// is not there is zero. `rows`: room for two rows.
    /// # Safety
    /// As `fill`; `rows` holds 2 * `row` floats.
    #[inline(always)]
    pub unsafe fn fill_pair<L: Lanes>(
        &self,
        new: [Option<usize>; 2],
        rows: *mut f32,
        row: usize,
        write: impl Fn(usize, usize, usize, *mut f32),
    ) {
        for y in 0..self.height {
            for c in 0..self.channels {
                let at: [*mut f32; 2] = [rows, rows.add(row)];
                for (&link, &to) in new.iter().zip(&at) {
                    match link {
                        Some(link) => {
                            write(link, y, c, to);
                            slice::from_raw_parts_mut(to.add(self.width), row - self.width).fill(0.0);
                        }
                        None => slice::from_raw_parts_mut(to, row).fill(0.0),
                    }
                }
                let kept = [self.voxels(4, y, c), self.voxels(5, y, c)];
                let mixed = core::array::from_fn(|plane| self.voxels(plane, y, c));
                mix_inputs::<L>(kept, [at[0], at[1]], mixed, row);
            }
        }
    }

    #[inline(always)]
    unsafe fn clear_tail(&self, row: *mut f32) {
        let end = self.pitch - ring_padding(self.dilation);
        slice::from_raw_parts_mut(row.add(self.width), end - self.width).fill(0.0);
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
