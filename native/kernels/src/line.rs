//! A line of a plane's output rows, or of four planes', and the rows that it is made of.

use crate::conv::TapRow;
use crate::fours::MIXED;
use crate::ring::Ring;

pub struct Line {
    /// z of the first plane.
    z: usize,
    /// From one plane to the next.
    dilation: usize,
    /// Planes: 1, or up to 4.
    count: usize,
    pub y: usize,
    /// Whether the rows are of mixed planes.
    pub mixed: bool,
    rows: [TapRow; 3 * MIXED],
    length: usize,
    /// Rows of each plane; the same for all.
    each: usize,
}

impl Line {
    #[inline(always)]
    pub fn new(z: usize, dilation: usize, count: usize, y: usize, mixed: bool) -> Self {
        let none = TapRow { from: core::ptr::null(), index: 0 };
        Self { z, dilation, count, y, mixed, rows: [none; 3 * MIXED], length: 0, each: 0 }
    }

    /// Adds the rows of one of the ring's planes that the line meets; `index`: that plane among the weights'.
    /// # Safety
    /// The ring holds them.
    #[inline(always)]
    pub unsafe fn push(&mut self, ring: &Ring, plane: usize, index: usize, height: usize) {
        let before = self.length;
        for ky in 0..3 {
            let y = (self.y + ky * ring.dilation).wrapping_sub(ring.dilation);
            if y < height {
                self.rows[self.length] = TapRow { from: ring.taps(plane, y), index: index * 3 + ky };
                self.length += 1;
            }
        }
        self.each = self.length - before;
    }

    pub fn all_rows(&self) -> &[TapRow] {
        &self.rows[..self.length]
    }

    /// The rows of the plane that was added as number `plane`.
    pub fn rows(&self, plane: usize) -> &[TapRow] {
        &self.rows[plane * self.each..(plane + 1) * self.each]
    }

    /// (number, z) of its planes.
    pub fn planes(&self) -> impl Iterator<Item = (usize, usize)> {
        let (z, dilation) = (self.z, self.dilation);
        (0..self.count).map(move |i| (i, z + i * dilation))
    }
}
