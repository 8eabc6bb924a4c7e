//! A convolution's way through an item where bf16 are multiplied: as `crate::walk`, over rings of bf16.

use crate::bf16::conv::{convolve_pair, convolve_row};
use crate::bf16::ring::{DotRing, Layout};
use crate::conv::{RowShape, TapRow};
use crate::element::Element;
use crate::fours::TOGETHER;
use crate::items::Item;
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::Activation;
use crate::run::Program;

/// An output row's place, and the tap rows that make it.
pub enum DotTaps<'a> {
    /// z and y.
    Row(usize, usize, &'a [TapRow<u16>]),
    /// z, that of the pair's other plane unless the chain has ended, y; the tap rows of each mixed plane.
    Pair(usize, Option<usize>, usize, [&'a [TapRow<u16>]; 4]),
}

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// As `convolve`, by dot products.
    pub(crate) unsafe fn convolve_by_dots(
        &self,
        block: usize,
        item: &Item,
        weights: *const f32,
        shape: &RowShape,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut finish: impl FnMut(&Line, [*mut f32; TOGETHER]),
    ) {
        let to = core::array::from_fn(|i| self.floats(i));
        self.over_dots(block, item, Layout::Paired, shape.inputs, source, |taps| match taps {
            DotTaps::Row(z, y, rows) => {
                convolve_row::<L>(rows, weights, to[0], shape);
                finish(&Line::new(z, shape.dilation, 1, y, false), to);
            }
            DotTaps::Pair(z, next, y, rows) => {
                convolve_pair::<L>(rows, weights, to[0], to[1], shape);
                finish(&Line::new(z, shape.dilation, if next.is_some() { 2 } else { 1 }, y, false), to);
            }
        })
    }

    /// Walks an item. `source` as in `over_planes`.
    pub(crate) unsafe fn over_dots(
        &self,
        block: usize,
        item: &Item,
        layout: Layout,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut each: impl FnMut(DotTaps),
    ) {
        let plan = self.plan;
        let (height, dilation) = (plan.height(), plan.dilation(block));
        let (start, scratch) = (self.thread_memory(plan.thread.ring), self.thread_memory(plan.thread.narrowing));
        let ring = DotRing::new(start, scratch, layout, inputs, plan, block);
        let nothing = TapRow { from: start.cast(), index: 0 };
        if !plan.in_pairs(block) {
            ring.clear(3);
            let mut filled = item.first.saturating_sub(1);
            for j in item.first..item.end {
                while filled < (j + 2).min(item.links) {
                    ring.fill::<L>(filled % 3, filled, &source);
                    filled += 1;
                }
                if self.team.cancelled() {
                    return;
                }
                for y in 0..height {
                    let (mut rows, mut count) = ([nothing; 9], 0);
                    for index in 0..9 {
                        let link = (j + index / 3).wrapping_sub(1);
                        let line = (y + index % 3 * dilation).wrapping_sub(dilation);
                        if link < item.links && line < height {
                            rows[count] = TapRow { from: ring.taps(link % 3, line), index };
                            count += 1;
                        }
                    }
                    each(DotTaps::Row(item.residue + j * dilation, y, &rows[..count]));
                }
            }
            return;
        }
        ring.clear(4);
        ring.keep(0, item.first.checked_sub(1), &source);
        ring.keep(1, Some(item.first), &source);
        for j in (item.first..item.end).step_by(2) {
            let there = |link: usize| (link < item.links).then_some(link);
            let new = [there(j + 1), there(j + 2)];
            if self.team.cancelled() {
                return;
            }
            let z = item.residue + j * dilation;
            let next = there(j + 1).map(|_| z + dilation);
            for residue in 0..dilation.min(height) {
                let mut filled = residue;
                for y in (residue..height).step_by(dilation) {
                    while filled < (y + dilation + 1).min(height) {
                        ring.fill_line::<L>(filled, new, &source);
                        filled += dilation;
                    }
                    let (mut rows, mut count) = ([[nothing; 3]; 4], 0);
                    for ky in 0..3 {
                        let line = (y + ky * dilation).wrapping_sub(dilation);
                        if line < height {
                            for (plane, rows) in rows.iter_mut().enumerate() {
                                rows[count] = TapRow { from: ring.taps(plane, line), index: plane * 3 + ky };
                            }
                            count += 1;
                        }
                    }
                    each(DotTaps::Pair(z, next, y, core::array::from_fn(|plane| &rows[plane][..count])));
                }
            }
        }
    }
}
