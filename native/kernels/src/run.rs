//! The program that every thread of a team runs: forward, then loss and backward, one pass over the volume after the other.

use crate::bf16;
use crate::bf16::sources::{Activated, Image};
use crate::bf16::tiles::block::Block;
use crate::coefficients::Coefficients;
use crate::conv::{pack, RowShape};
use crate::element::{Element, Products};
use crate::fours::TOGETHER;
use crate::items::{item, items_per_volume};
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::{Activation, Elu, Gelu, Relu};
use crate::plan::*;
use crate::request::*;
use crate::team::{Team, BAD_LABEL};
use core::marker::PhantomData;
use core::slice;

/// Runs one thread's part; returns `team::DONE`, `CANCELLED` or `BAD_LABEL`, the same in every thread.
/// # Safety
/// `base` is the address of the memory that the plan was made for, its input regions filled; every thread of the team, and no other code,
/// works in it until all have returned.
pub unsafe fn run<L: Lanes, E: Element>(plan: &Plan, base: usize, team: &Team, thread: usize) -> u32 {
    match plan.request.activation {
        ELU => Program::<L, E, Elu>::new(plan, base, team, thread).run(),
        RELU => Program::<L, E, Relu>::new(plan, base, team, thread).run(),
        _ => Program::<L, E, Gelu>::new(plan, base, team, thread).run(),
    };
    team.outcome()
}

pub(crate) struct Program<'a, L, E, A> {
    pub(crate) plan: &'a Plan,
    base: usize,
    pub(crate) team: &'a Team,
    pub(crate) thread: usize,
    kind: PhantomData<(L, E, A)>,
}

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    fn new(plan: &'a Plan, base: usize, team: &'a Team, thread: usize) -> Self {
        Self { plan, base, team, thread, kind: PhantomData }
    }

    /// None as soon as the work is stopped.
    unsafe fn run(&self) -> Option<()> {
        let plan = self.plan;
        self.prepare()?;
        for block in 0..plan.blocks() {
            self.forward(block, true)?;
        }
        self.head()?;
        if plan.request.mode != TRAIN {
            return Some(());
        }
        for block in (0..plan.blocks()).rev() {
            let (first, last) = plan.segment(block);
            if block == last && block + 1 < plan.blocks() {
                for again in first..block {
                    self.forward(again, false)?;
                }
            }
            self.backward(block)?;
        }
        Some(())
    }

    /// Counts the labels, packs the weights and, where they do not depend on the batch, sets the coefficients.
    pub(crate) unsafe fn prepare(&self) -> Option<()> {
        let plan = self.plan;
        let scored = plan.request.mode != FORWARD;
        let rows = if scored { plan.volumes() * plan.depth() } else { 0 };
        let size = plan.height() * plan.width();
        if scored {
            self.counts(self.thread).fill(0);
        }
        let truth = self.at(Region::Truth).cast_const();
        let count = |plane: usize| {
            // Four tables in turn: labels that follow each other are mostly the same, and each count would wait for the one before.
            let mut tables = [[0u64; 256]; 4];
            for (i, &label) in slice::from_raw_parts(truth.add(plane * size), size).iter().enumerate() {
                tables[i % 4][usize::from(label)] += 1;
            }
            for (label, count) in self.counts(self.thread)[..256].iter_mut().enumerate() {
                *count += tables.iter().map(|table| table[label]).sum::<u64>();
            }
        };
        self.pass(rows, count, || {
            let unknown = |thread| self.counts(thread)[plan.classes()..256].iter().any(|&n| n > 0);
            if scored && (0..plan.threads()).any(unknown) {
                self.team.stop(BAD_LABEL);
                return;
            }
            let pack = |from, to, outputs, inputs, planes, backward| match E::PRODUCTS {
                Products::Floats => pack(from, to, outputs, inputs, planes, backward),
                Products::Dots => bf16::conv::pack(from, to, outputs, inputs, planes, backward),
                Products::Tiles => Block::new(inputs, outputs).pack(from, to, backward),
            };
            for block in 0..plan.blocks() {
                let (weights, channels, inputs) =
                    (self.parameters().add(plan.parameters_of(block)), plan.channels(), plan.inputs(block));
                pack(weights, self.packed(block, false), channels, inputs, plan.weight_planes(block), false);
                if block > 0 {
                    pack(weights, self.packed(block, true), inputs, channels, plan.weight_planes(block), true);
                }
                if plan.request.normalization == NO_NORM
                    || (plan.request.normalization == BATCH_NORM && plan.request.mode != TRAIN)
                {
                    self.set_fixed_coefficients(block);
                }
            }
        })
    }

    /// Block's convolution of the activated output of the one before; `first`: its statistics and coefficients as well.
    pub(crate) unsafe fn forward(&self, block: usize, first: bool) -> Option<()> {
        if E::PRODUCTS == Products::Tiles {
            return self.forward_by_tiles(block, first);
        }
        let plan = self.plan;
        let measured = first && self.measures();
        let channels = plan.channels();
        let shape = self.shape(block, plan.inputs(block), channels);
        let (weights, pieces) = (self.packed(block, false), plan.pieces(block));
        let work = |index: usize| {
            let partial = self.partial(index);
            partial[..2 * channels].fill(0.0);
            let mut partial = measured.then_some(partial);
            if E::PRODUCTS == Products::Dots {
                let piece = pieces.piece(index);
                let (volume, ring) = (piece.item.volume, self.dot_ring(block, &piece, shape.inputs, false));
                let each = |line: &Line<u16>| {
                    let (rows, sums) = (self.tensor_rows(block, volume, line), partial.as_deref_mut());
                    if line.mixed {
                        let mixed = core::array::from_fn(|plane| line.rows(plane));
                        self.convolve_and_keep(mixed, weights, &shape, rows, sums);
                    } else {
                        let floats = self.convolve_dots(line, weights, &shape);
                        self.keep_rows(floats, rows, sums);
                    }
                };
                if block == 0 {
                    let image = Image::new(self, &piece.item, self.thread_memory(plan.thread.rows), TOGETHER);
                    self.walk_dots(block, &ring, &piece, &image, each);
                } else {
                    self.walk_dots(block, &ring, &piece, &Activated::new(self, &piece.item, block), each);
                }
            } else {
                let item = item(plan.depth(), plan.dilation(block), index);
                let source = |link, y, c, to| self.read_input(block, &item, link, y, c, to);
                self.walk(block, &item, shape.inputs, source, |line| {
                    let (rows, sums) = (self.tensor_rows(block, item.volume, line), partial.as_deref_mut());
                    if line.mixed && !cfg!(target_arch = "wasm32") {
                        let mixed = core::array::from_fn(|plane| line.rows(plane));
                        self.convolve_and_keep(mixed, weights, &shape, rows, sums);
                    } else {
                        let floats = self.convolve_line(line, weights, &shape);
                        self.keep_rows(floats, rows, sums);
                    }
                });
            }
            L::end_streams();
        };
        let items = plan.items(block);
        self.pass(items, work, || {
            if measured {
                self.set_measured_coefficients(block, items);
            }
        })
    }

    /// Whether coefficients follow from statistics of the batch.
    pub(crate) fn measures(&self) -> bool {
        let request = &self.plan.request;
        request.normalization == INSTANCE_NORM || (request.normalization == BATCH_NORM && request.mode == TRAIN)
    }

    /// Sets a row (C, pitch) to zero beyond the width.
    pub(crate) unsafe fn clear_tail(&self, row: *mut f32) {
        for c in 0..self.plan.channels() {
            self.plan.clear_beyond(row.add(c * self.plan.pitch));
        }
    }

    pub(crate) fn shape(&self, block: usize, inputs: usize, outputs: usize) -> RowShape {
        let (dilation, pitch) = (self.plan.dilation(block), self.plan.pitch);
        RowShape {
            planes: self.plan.weight_planes(block),
            inputs,
            outputs,
            dilation,
            input_pitch: ring_pitch(pitch, dilation),
            pitch,
        }
    }

    pub(crate) fn pass(&self, items: usize, work: impl Fn(usize), conclude: impl FnOnce()) -> Option<()> {
        self.team.pass(self.thread, self.plan.threads(), items, work, conclude).then_some(())
    }

    pub(crate) fn items(&self, dilation: usize) -> usize {
        self.plan.volumes() * items_per_volume(self.plan.depth(), dilation)
    }

    pub(crate) fn samples(&self) -> f64 {
        (self.plan.volumes() * self.plan.voxels()) as f64
    }

    pub(crate) unsafe fn at(&self, region: Region) -> *mut u8 {
        (self.base + self.plan.offset(region) as usize) as *mut u8
    }

    pub(crate) unsafe fn parameters(&self) -> *const f32 {
        self.at(Region::Parameters).cast()
    }

    pub(crate) unsafe fn gradients(&self) -> *mut f32 {
        self.at(Region::Gradients).cast()
    }

    pub(crate) unsafe fn packed(&self, block: usize, backward: bool) -> *mut f32 {
        if E::PRODUCTS == Products::Tiles {
            let index = usize::from(backward) * self.plan.blocks() + block;
            return self.at(Region::Packed).cast::<f32>().add(index * self.plan.tile_words);
        }
        // Up to six planes for three.
        let half = if backward { 2 * self.plan.parameter_count() } else { 0 };
        self.at(Region::Packed).cast::<f32>().add(half + 2 * self.plan.parameters_of(block))
    }

    pub(crate) unsafe fn dropout(&self, block: usize, volume: usize, c: usize) -> f32 {
        let plan = self.plan;
        if plan.request.mode != TRAIN {
            return 1.0;
        }
        *self.at(Region::Dropout).cast::<f32>().add((volume * plan.blocks() + block) * plan.channels() + c)
    }

    pub(crate) unsafe fn coefficients_at(&self, block: usize, volume: usize, c: usize) -> *mut Coefficients {
        let plan = self.plan;
        self.at(Region::Coefficients).cast::<Coefficients>().add((block * plan.volumes() + volume) * plan.channels() + c)
    }

    pub(crate) unsafe fn coefficients(&self, block: usize, volume: usize, c: usize) -> &Coefficients {
        &*self.coefficients_at(block, volume, c)
    }

    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn coefficients_mut(&self, block: usize, volume: usize, c: usize) -> &mut Coefficients {
        &mut *self.coefficients_at(block, volume, c)
    }

    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn partial(&self, item: usize) -> &mut [f64] {
        let at = self.at(Region::Partials).cast::<f64>().add(item * self.plan.partial);
        slice::from_raw_parts_mut(at, self.plan.partial)
    }

    /// The sum over items, in their order, of one of their partial sums.
    pub(crate) unsafe fn total(&self, items: usize, index: usize) -> f64 {
        (0..items).map(|item| self.partial(item)[index]).sum()
    }

    /// The first sums of item 0 += those of all other items, in their order, an item after the other: they lie side by side.
    pub(crate) unsafe fn add_up(&self, items: usize, count: usize) {
        let totals = self.partial(0);
        for item in 1..items {
            for (total, sum) in totals[..count].iter_mut().zip(&*self.partial(item)) {
                *total += sum;
            }
        }
    }

    pub(crate) unsafe fn thread_memory(&self, offset: u64) -> *mut f32 {
        self.memory_of(self.thread, offset).cast()
    }

    pub(crate) unsafe fn memory_of(&self, thread: usize, offset: u64) -> *mut u8 {
        self.at(Region::Threads).add(thread * self.plan.thread.size as usize + offset as usize)
    }

    /// A thread's counts: of the labels 0..256, then of every (truth, prediction).
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn counts(&self, thread: usize) -> &mut [u64] {
        let count = 256 + self.plan.classes() * self.plan.classes();
        slice::from_raw_parts_mut(self.memory_of(thread, self.plan.thread.counts).cast(), count)
    }

    pub(crate) unsafe fn row(&self, slot: usize, volume: usize, z: usize, y: usize) -> *mut E {
        let plan = self.plan;
        let row = (volume * plan.depth() + z) * plan.height() + y;
        let tensor = self.at(Region::Tensors).add(slot * plan.tensor_bytes() as usize);
        tensor.cast::<E>().add(row * plan.channels() * plan.pitch)
    }
}
