//! How rows come into the tensor of a block's output, and what is measured of them on the way.

use crate::conv::{by_groups, RowShape, TapRow};
use crate::element::Element;
use crate::factor::Factor;
use crate::fours::{for_each_plane, separate, MIXED, TOGETHER};
use crate::lanes::{within, Lanes};
use crate::line::Line;
use crate::math::Activation;
use crate::run::Program;
use core::slice;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// Stores a row (C, pitch) in a tensor.
    #[inline(never)]
    pub(crate) unsafe fn keep(&self, floats: *const f32, row: *mut E) {
        L::enter(
            #[inline(always)]
            || {
                let streamed = self.plan.streams();
                for x in (0..self.plan.channels() * self.plan.pitch).step_by(2 * L::N) {
                    E::put_two(L::load(floats.add(x)), L::load(floats.add(x + L::N)), row.add(x), streamed);
                }
            },
        )
    }

    /// The rows of a line in the tensor of a block's output; null where the line has fewer planes.
    pub(crate) unsafe fn tensor_rows<T: Copy>(&self, block: usize, volume: usize, line: &Line<T>) -> [*mut E; TOGETHER] {
        let mut rows = [core::ptr::null_mut(); TOGETHER];
        for (i, z) in line.planes() {
            rows[i] = self.row(self.plan.slot(block), volume, z, line.y);
        }
        rows
    }

    /// Stores rows (C, pitch) in those of a tensor that are not null; sums (2, C) += the sums of them before they are rounded, and of their squares.
    pub(crate) unsafe fn keep_rows(&self, floats: [*mut f32; TOGETHER], rows: [*mut E; TOGETHER], mut sums: Option<&mut [f64]>) {
        let (channels, pitch) = (self.plan.channels(), self.plan.pitch);
        for i in (0..TOGETHER).filter(|&i| !rows[i].is_null()) {
            self.clear_tail(floats[i]);
            let Some(sums) = &mut sums else {
                self.keep(floats[i], rows[i]);
                continue;
            };
            for c in 0..channels {
                let (sum, squares) = self.keep_channel(floats[i].add(c * pitch), rows[i].add(c * pitch));
                sums[c] += sum;
                sums[channels + c] += squares;
            }
        }
    }

    /// Stores a channel of a row in a tensor; the sums of it before it is rounded, and of its squares.
    #[inline(never)]
    pub(crate) unsafe fn keep_channel(&self, floats: *const f32, to: *mut E) -> (f64, f64) {
        let (pitch, streamed) = (self.plan.pitch, self.plan.streams());
        L::enter(
            #[inline(always)]
            move || {
                let (mut sum, mut squares) = (L::splat(0.0), L::splat(0.0));
                for x in (0..pitch).step_by(2 * L::N) {
                    let (one, next) = (L::load(floats.add(x)), L::load(floats.add(x + L::N)));
                    E::put_two(one, next, to.add(x), streamed);
                    sum = sum.add(one).add(next);
                    squares = next.fma(next, one.fma(one, squares));
                }
                (f64::from(sum.sum()), f64::from(squares.sum()))
            },
        )
    }

    /// The rows of a line of four planes, straight to those of a tensor that are not null, zero beyond the width; sums (2, C) += as in
    /// `keep_rows`.
    #[inline(never)]
    pub(crate) unsafe fn convolve_and_keep<T: Factor>(
        &self,
        mixed: [&[TapRow<T>]; MIXED],
        weights: *const f32,
        shape: &RowShape,
        rows: [*mut E; TOGETHER],
        sums: Option<&mut [f64]>,
    ) {
        let (pitch, width, streamed) = (self.plan.pitch, self.plan.width(), self.plan.streams());
        let (vectors, measured) = (self.cleared_vectors(), sums.is_some());
        by_groups::<L, T, MIXED>(
            mixed,
            weights,
            shape,
            #[inline(always)]
            |c, x, [one, next]| {
                let at = vectors.add(2 * c * L::N);
                let (mut sum, mut squares) = (L::load(at), L::load(at.add(L::N)));
                let (mut one, mut next) = (separate(one), separate(next));
                // Written out, so that the results stay in registers.
                for_each_plane!(t => {
                    if !rows[t].is_null() {
                        (one[t], next[t]) = (within(one[t], x, width), within(next[t], x + L::N, width));
                        E::put_two(one[t], next[t], rows[t].add(c * pitch + x), streamed);
                        sum = sum.add(one[t]).add(next[t]);
                        squares = next[t].fma(next[t], one[t].fma(one[t], squares));
                    }
                });
                if measured {
                    sum.store(at);
                    squares.store(at.add(L::N));
                }
            },
        );
        if let Some(sums) = sums {
            self.add_sums(vectors, sums);
        }
    }

    /// Vectors (C, 2) of zeros, where sums are taken while rows are made.
    pub(crate) unsafe fn cleared_vectors(&self) -> *mut f32 {
        let vectors = self.rows_at(|rows| rows.spare);
        slice::from_raw_parts_mut(vectors, 2 * self.plan.channels() * L::N).fill(0.0);
        vectors
    }

    /// sums (2, C) += those of vectors (C, 2).
    pub(crate) unsafe fn add_sums(&self, vectors: *const f32, sums: &mut [f64]) {
        L::enter(
            #[inline(always)]
            || {
                let channels = self.plan.channels();
                for c in 0..channels {
                    let at = vectors.add(2 * c * L::N);
                    sums[c] += f64::from(L::load(at).sum());
                    sums[channels + c] += f64::from(L::load(at.add(L::N)).sum());
                }
            },
        )
    }
}
