//! A convolution's way through an item: plane by plane, or by fours of planes.

use crate::conv::{convolve_four, convolve_row, RowShape};
use crate::element::Element;
use crate::fours::{separate_rows, MIXED, TOGETHER};
use crate::items::Item;
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::Activation;
use crate::plan::{Region, Rows};
use crate::ring::{activate_row, Ring};
use crate::run::Program;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// Walks an item and convolves; `finish` gets the rows of every line, and stores them in a tensor.
    pub(crate) unsafe fn convolve(
        &self,
        block: usize,
        item: &Item,
        weights: *const f32,
        shape: &RowShape,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut finish: impl FnMut(&Line, [*mut f32; TOGETHER]),
    ) {
        self.walk(block, item, shape.inputs, source, |line| {
            let to = self.convolve_line(line, weights, shape);
            finish(line, to);
        });
        L::end_streams();
    }

    /// The rows of a line.
    pub(crate) unsafe fn convolve_line(&self, line: &Line, weights: *const f32, shape: &RowShape) -> [*mut f32; TOGETHER] {
        let spare = self.rows_at(|rows| rows.spare);
        let mut to = [spare; TOGETHER];
        for (i, _) in line.planes() {
            to[i] = self.floats(i);
        }
        if line.mixed && !cfg!(target_arch = "wasm32") {
            convolve_four::<L, f32>(core::array::from_fn(|plane| line.rows(plane)), weights, to, shape);
        } else if line.mixed {
            // V8 compiles one list of rows well, not six of them in a function.
            let (results, length) = (self.rows_at(|rows| rows.woven), shape.outputs * shape.pitch);
            for plane in 0..MIXED {
                convolve_row::<L, f32>(line.rows(plane), weights, results.add(plane * length), shape);
            }
            separate_rows::<L>(results, to, length);
        } else {
            convolve_row::<L, f32>(line.all_rows(), weights, to[0], shape);
        }
        to
    }

    pub(crate) unsafe fn rows_at(&self, which: impl Fn(Rows) -> usize) -> *mut f32 {
        self.thread_memory(self.plan.thread.rows).add(which(Rows::new(self.plan.channels(), self.plan.pitch)))
    }

    /// Where floats of a tensor's row (C, pitch) are computed: the thread's rows, up to four.
    pub(crate) unsafe fn floats(&self, which: usize) -> *mut f32 {
        self.thread_memory(self.plan.thread.floats).add(which * self.plan.channels() * self.plan.pitch)
    }

    /// A channel of a tensor's row as floats: where it lies, or written to `to`.
    #[inline(always)]
    pub(crate) unsafe fn read_floats(&self, row: *const E, to: *mut f32) -> *const f32 {
        if E::IS_FLOAT {
            return row.cast();
        }
        copy_row::<L, E, f32>(row, to, self.plan.pitch);
        to
    }

    pub(crate) fn ring(&self, block: usize, inputs: usize) -> Ring {
        Ring::new(unsafe { self.thread_memory(self.plan.thread.ring) }, inputs, self.plan, block)
    }

    /// Walks an item by lines of a plane or of four. `source(link, y, c, to)` gives a row of what is convolved: written to `to` up
    /// to its width, or where it lies, zero beyond.
    pub(crate) unsafe fn walk(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        each: impl FnMut(&Line),
    ) {
        if self.plan.in_fours(block) {
            self.over_fours(block, item, inputs, source, each);
        } else {
            self.over_planes(block, item, inputs, source, each);
        }
    }

    unsafe fn over_planes(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut each: impl FnMut(&Line),
    ) {
        let (height, dilation) = (self.plan.height(), self.plan.dilation(block));
        let ring = self.ring(block, inputs);
        ring.clear(3);
        let mut filled = item.first.saturating_sub(1);
        for j in item.first..item.end {
            while filled < (j + 2).min(item.links) {
                ring.fill(filled % 3, |y, c, to| {
                    let from = source(filled, y, c, to);
                    if from != to.cast_const() {
                        core::ptr::copy_nonoverlapping(from, to, self.plan.width());
                    }
                });
                filled += 1;
            }
            if self.team.cancelled() {
                return;
            }
            for y in 0..height {
                let mut line = Line::new(item.residue + j * dilation, dilation, 1, y, false);
                for kz in 0..3 {
                    let link = (j + kz).wrapping_sub(1);
                    if link < item.links {
                        line.push(kz, ring.neighbours(link % 3, y));
                    }
                }
                each(&line);
            }
        }
    }

    unsafe fn over_fours(
        &self,
        block: usize,
        item: &Item,
        inputs: usize,
        source: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
        mut each: impl FnMut(&Line),
    ) {
        let plan = self.plan;
        let (height, dilation) = (plan.height(), plan.dilation(block));
        let ring = self.ring(block, inputs);
        let scratch = self.thread_memory(plan.thread.rows);
        ring.clear(MIXED);
        ring.keep(0, item.first.checked_sub(1), &source);
        ring.keep(1, Some(item.first), &source);
        for j in (item.first..item.end).step_by(TOGETHER) {
            let new = core::array::from_fn(|i| (j + 1 + i < item.links).then_some(j + 1 + i));
            // Like planes, lines meet only those of their residue: one residue after the other, the ring is small at any dilation.
            for residue in 0..dilation.min(height) {
                let mut filled = residue;
                for y in (residue..height).step_by(dilation) {
                    if self.team.cancelled() {
                        return;
                    }
                    while filled < (y + dilation + 1).min(height) {
                        ring.fill_line::<L>(filled, new, scratch, &source);
                        filled += dilation;
                    }
                    let count = (item.end - j).min(TOGETHER);
                    let mut line = Line::new(item.residue + j * dilation, dilation, count, y, true);
                    for plane in 0..MIXED {
                        line.push(plane, ring.neighbours(plane, y));
                    }
                    each(&line);
                }
            }
        }
    }

    /// A row of what a block reads: the image, or the activated output of the block before.
    #[inline(always)]
    pub(crate) unsafe fn read_input(
        &self,
        block: usize,
        item: &Item,
        link: usize,
        y: usize,
        c: usize,
        to: *mut f32,
    ) -> *const f32 {
        let plan = self.plan;
        let (width, z) = (plan.width(), item.residue + link * plan.dilation(block));
        if block > 0 {
            let from = self.row(plan.slot(block - 1), item.volume, z, y).add(c * plan.pitch);
            let k = self.coefficients(block - 1, item.volume, c);
            activate_row::<L, E, A>(from, to, plan.pitch, k, plan.ahead(block));
            return to;
        }
        let first = ((item.volume * plan.depth() + z) * plan.height() + y) * width;
        let image = self.at(Region::Images);
        if plan.request.float_images == 1 {
            plan.places(0..width, |x, place| *to.add(place) = *image.cast::<f32>().add(first + x));
        } else {
            plan.places(0..width, |x, place| *to.add(place) = f32::from(*image.add(first + x)) / 255.0);
        }
        to
    }
}

/// # Safety
/// Both rows hold `length` elements, a multiple of the lanes.
#[inline(never)]
unsafe fn copy_row<L: Lanes, F: Element, T: Element>(from: *const F, to: *mut T, length: usize) {
    L::enter(
        #[inline(always)]
        || {
            for x in (0..length).step_by(L::N) {
                T::store(F::load::<L>(from.add(x)), to.add(x));
            }
        },
    )
}
