//! The planes that a convolution reads: made once, with zeros to the left and right. Three neighbours of a chain; or, for
//! `crate::fours`, six mixed planes and two that are kept for the next four.

use crate::coefficients::Coefficients;
use crate::element::Element;
use crate::fours::{mix_inputs, MIXED, TOGETHER};
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::plan::{ring_padding, ring_pitch, Plan, MIXED_LINES};
use core::slice;

/// A thread's ring: planes (lines, C, pitch), a row's first voxel `padding` floats after the row's start. In fours, a plane holds
/// only the lines that a line of the output reaches, and two kept planes (H, C, row) follow.
#[derive(Clone, Copy)]
pub struct Ring {
    pub start: *mut f32,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub dilation: usize,
    pub pitch: usize,
    /// Floats of a row without padding.
    row: usize,
    /// Lines of a plane: all, or of one residue modulo the dilation those that a line of the output reaches.
    lines: usize,
}

impl Ring {
    pub fn new(start: *mut f32, channels: usize, plan: &Plan, block: usize) -> Self {
        let (height, row, dilation) = (plan.height(), plan.pitch, plan.dilation(block));
        let lines = if plan.in_fours(block) { MIXED_LINES } else { height };
        Self { start, channels, height, width: plan.width(), dilation, pitch: ring_pitch(row, dilation), row, lines }
    }

    /// Row y of a plane: channel 0, `dilation` floats before voxel 0, which is where the leftmost tap begins.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out.
    #[inline(always)]
    unsafe fn taps(&self, plane: usize, y: usize) -> *const f32 {
        self.voxels(plane, y, 0).sub(self.dilation)
    }

    /// The rows y - dilation, y and y + dilation of a plane, those that are there.
    /// # Safety
    /// As `taps`.
    #[inline(always)]
    pub unsafe fn neighbours(&self, plane: usize, y: usize) -> [Option<*const f32>; 3] {
        let mut rows = [None; 3];
        for ky in 0..3 {
            let y = (y + ky * self.dilation).wrapping_sub(self.dilation);
            if y < self.height {
                rows[ky] = Some(self.taps(plane, y));
            }
        }
        rows
    }

    /// Voxel 0 of a row.
    #[inline(always)]
    unsafe fn voxels(&self, plane: usize, y: usize, c: usize) -> *mut f32 {
        let line = if self.lines == self.height { y } else { y / self.dilation % self.lines };
        self.start.add(((plane * self.lines + line) * self.channels + c) * self.pitch + ring_padding(self.dilation))
    }

    /// Sets the first planes to zero.
    /// # Safety
    /// As `taps`.
    pub unsafe fn clear(&self, planes: usize) {
        slice::from_raw_parts_mut(self.start, planes * self.lines * self.channels * self.pitch).fill(0.0);
    }

    /// A row of one of the two planes that a four leaves for the next.
    #[inline(always)]
    unsafe fn kept(&self, plane: usize, y: usize, c: usize) -> *mut f32 {
        let kept = self.start.add(MIXED * self.lines * self.channels * self.pitch);
        kept.add(((plane * self.height + y) * self.channels + c) * self.row)
    }

    /// Fills a kept plane; one that is not there is zero.
    /// # Safety
    /// As `fill`.
    pub unsafe fn keep(&self, plane: usize, link: Option<usize>, write: impl Fn(usize, usize, usize, *mut f32) -> *const f32) {
        for y in 0..self.height {
            for c in 0..self.channels {
                let to = self.kept(plane, y, c);
                let from = read_row(link, y, c, to, self.width, self.row, &write);
                if from != to.cast_const() {
                    core::ptr::copy_nonoverlapping(from, to, self.row);
                }
            }
        }
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

    /// Line y of the mixed planes, from the kept planes and four new ones, of which the last two take their place; a plane that is
    /// not there is zero. `rows`: room for four rows.
    /// # Safety
    /// As `fill`.
    #[inline(never)]
    pub unsafe fn fill_line<L: Lanes>(
        &self,
        y: usize,
        new: [Option<usize>; TOGETHER],
        rows: *mut f32,
        write: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
    ) {
        for c in 0..self.channels {
            let mut from = [rows.cast_const(); TOGETHER];
            for (i, link) in new.into_iter().enumerate() {
                from[i] = read_row(link, y, c, rows.add(i * self.row), self.width, self.row, &write);
            }
            let mixed = core::array::from_fn(|plane| self.voxels(plane, y, c));
            mix_inputs::<L>([self.kept(0, y, c), self.kept(1, y, c)], from, mixed, self.row);
        }
    }

    #[inline(always)]
    unsafe fn clear_tail(&self, row: *mut f32) {
        let end = self.pitch - ring_padding(self.dilation);
        slice::from_raw_parts_mut(row.add(self.width), end - self.width).fill(0.0);
    }
}

/// A row of a plane, zero beyond the width; all zero where there is no such plane. Written to `to`, or where it lies.
/// # Safety
/// `to` holds `row` floats; `write` gives rows as `source` in `crate::walk`.
#[inline(always)]
unsafe fn read_row(
    link: Option<usize>,
    y: usize,
    c: usize,
    to: *mut f32,
    width: usize,
    row: usize,
    write: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
) -> *const f32 {
    let Some(link) = link else {
        slice::from_raw_parts_mut(to, row).fill(0.0);
        return to;
    };
    let from = write(link, y, c, to);
    if from == to.cast_const() {
        slice::from_raw_parts_mut(to.add(width), row - width).fill(0.0);
    }
    from
}

/// to = factor * activation(scale * z + shift) of one row; the row `ahead` elements further will be read soon.
/// # Safety
/// Both rows hold `pitch` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn activate_row<L: Lanes, E: Element, A: Activation>(
    z: *const E,
    to: *mut f32,
    pitch: usize,
    k: &Coefficients,
    ahead: usize,
) {
    L::enter(
        #[inline(always)]
        || {
            let (scale, shift, factor) = (L::splat(k.scale), L::splat(k.shift), L::splat(k.factor));
            // A factor of one changes no bit.
            let scaled = k.factor != 1.0;
            for x in (0..pitch).step_by(L::N) {
                L::prefetch(z.wrapping_add(x + ahead));
                let (value, _) = E::activated::<L, A>(E::load::<L>(z.add(x)).fma(scale, shift));
                if scaled { value.mul(factor) } else { value }.store(to.add(x));
            }
        },
    )
}
