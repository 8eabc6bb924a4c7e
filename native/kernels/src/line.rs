//! A line of a plane's output rows, or of two or four planes', and the rows that it is made of.

use crate::conv::TapRow;
use crate::fours::MIXED;

#[derive(Clone, Copy)]
pub struct Line<T = f32> {
    /// z of the first plane.
    z: usize,
    /// From one plane to the next.
    dilation: usize,
    /// Planes: 1, or up to 4.
    count: usize,
    pub y: usize,
    /// Whether the rows are of mixed planes.
    pub mixed: bool,
    rows: [TapRow<T>; 3 * MIXED],
    length: usize,
    /// Rows of each plane; the same for all.
    each: usize,
}

impl<T: Copy> Line<T> {
    #[inline(always)]
    pub fn new(z: usize, dilation: usize, count: usize, y: usize, mixed: bool) -> Self {
        let none = TapRow { from: core::ptr::null(), index: 0 };
        Self { z, dilation, count, y, mixed, rows: [none; 3 * MIXED], length: 0, each: 0 }
    }

    /// Adds the rows of a plane that the line meets: its neighbour before it, itself, its neighbour after it, those that are there; `index`:
    /// that plane among the weights'.
    #[inline(always)]
    pub fn push(&mut self, index: usize, rows: [Option<*const T>; 3]) {
        let before = self.length;
        for (ky, row) in rows.into_iter().enumerate() {
            if let Some(from) = row {
                self.rows[self.length] = TapRow { from, index: index * 3 + ky };
                self.length += 1;
            }
        }
        self.each = self.length - before;
    }

    /// The same line, its rows `offset` further.
    pub fn further(&self, offset: usize) -> Self {
        let mut line = *self;
        for row in &mut line.rows[..line.length] {
            row.from = row.from.wrapping_add(offset);
        }
        line
    }

    /// Whether the rows of both meet the same weights.
    pub fn has_taps_of(&self, other: &Self) -> bool {
        let taps = |line: &'_ Self| line.rows.map(|row| row.index);
        self.length == other.length && taps(self)[..self.length] == taps(other)[..self.length]
    }

    pub fn all_rows(&self) -> &[TapRow<T>] {
        &self.rows[..self.length]
    }

    /// The rows of the plane that was added as number `plane`.
    pub fn rows(&self, plane: usize) -> &[TapRow<T>] {
        &self.rows[plane * self.each..(plane + 1) * self.each]
    }

    /// (number, z) of its planes.
    pub fn planes(&self) -> impl Iterator<Item = (usize, usize)> {
        let (z, dilation) = (self.z, self.dilation);
        (0..self.count).map(move |i| (i, z + i * dilation))
    }
}
