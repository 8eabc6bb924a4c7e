//! A convolution's way through an item where bf16 are multiplied: as `crate::walk`, over rings of bf16.

use crate::bf16::ring::DotRing;
use crate::bf16::sources::Source;
use crate::conv::{convolve_four, convolve_row, RowShape};
use crate::element::Element;
use crate::fours::{MIXED, TOGETHER};
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::Activation;
use crate::pieces::Piece;
use crate::run::Program;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// The thread's ring for a piece of a block's convolution; `planar`: for the gradient by the weights too.
    pub(crate) unsafe fn dot_ring(&self, block: usize, piece: &Piece, inputs: usize, planar: bool) -> DotRing {
        let thread = &self.plan.thread;
        DotRing::new(self.thread_memory(thread.ring), planar, inputs, self.plan, block, piece)
    }

    /// As `convolve_line`.
    pub(crate) unsafe fn convolve_dots(&self, line: &Line<u16>, weights: *const f32, s: &RowShape) -> [*mut f32; TOGETHER] {
        let spare = self.rows_at(|rows| rows.spare);
        let mut to = [spare; TOGETHER];
        for (i, _) in line.planes() {
            to[i] = self.floats(i);
        }
        if line.mixed {
            convolve_four::<L, u16>(core::array::from_fn(|plane| line.rows(plane)), weights, to, s);
        } else {
            convolve_row::<L, u16>(line.all_rows(), weights, to[0], s);
        }
        to
    }

    /// Walks a piece by lines of a plane or of four.
    pub(crate) unsafe fn walk_dots(
        &self,
        block: usize,
        ring: &DotRing,
        piece: &Piece,
        source: &impl Source<L>,
        each: impl FnMut(&Line<u16>),
    ) {
        if self.plan.in_fours(block) {
            self.over_dot_fours(block, ring, piece, source, each);
        } else {
            self.over_dot_planes(ring, piece, source, each);
        }
    }

    unsafe fn over_dot_planes(&self, ring: &DotRing, piece: &Piece, source: &impl Source<L>, mut each: impl FnMut(&Line<u16>)) {
        let item = &piece.item;
        ring.clear(3);
        let mut filled = item.first.saturating_sub(1);
        for j in item.first..item.end {
            while filled < (j + 2).min(item.links) {
                ring.fill::<L, _>(filled % 3, filled, source);
                filled += 1;
            }
            if self.team.cancelled() {
                return;
            }
            for i in 0..piece.lines() {
                let mut line = Line::new(piece.z(j), piece.dilation, 1, piece.y(i), false);
                for kz in 0..3 {
                    let link = (j + kz).wrapping_sub(1);
                    if link < item.links {
                        line.push(kz, ring.neighbours(link % 3, ring.first + i));
                    }
                }
                each(&line);
            }
        }
    }

    unsafe fn over_dot_fours(
        &self,
        block: usize,
        ring: &DotRing,
        piece: &Piece,
        source: &impl Source<L>,
        mut each: impl FnMut(&Line<u16>),
    ) {
        let (plan, item) = (self.plan, &piece.item);
        ring.clear(MIXED);
        ring.keep::<L, _>(0, item.first.checked_sub(1), source);
        ring.keep::<L, _>(1, Some(item.first), source);
        for j in (item.first..item.end).step_by(TOGETHER) {
            let new = core::array::from_fn(|i| (j + 1 + i < item.links).then_some(j + 1 + i));
            let count = (item.end - j).min(TOGETHER);
            if self.team.cancelled() {
                return;
            }
            let mut filled = 0;
            for i in 0..piece.lines() {
                while filled < (ring.first + i + 2).min(ring.reached) {
                    let last = filled + 1 == ring.reached;
                    let ahead = if last { plan.ahead_of_run(block, ring.reached) } else { plan.ahead(block) };
                    ring.fill_line::<L, _>(filled, new, source, ahead);
                    filled += 1;
                }
                let mut line = Line::new(piece.z(j), piece.dilation, count, piece.y(i), true);
                for plane in 0..MIXED {
                    line.push(plane, ring.neighbours(plane, ring.first + i));
                }
                each(&line);
            }
        }
    }
}
