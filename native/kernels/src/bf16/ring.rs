//! The planes that a convolution by dot products reads, in bf16: as `crate::ring`, with rows laid out for what multiplies them.

use crate::bf16::narrow_row;
use crate::bf16::pairs::{mix, mix_inputs};
use crate::lanes::Lanes;
use crate::plan::{ring_padding, ring_pitch, Plan, MIXED_LINES};
use crate::ring::{keep_plane, read_row};
use core::slice;

/// How channels lie in a ring's rows. A slot is a row of `pitch` words (two bf16) or, planar, of `pitch` bf16.
#[derive(Clone, Copy, PartialEq)]
pub enum Layout {
    /// Words of two channels: (c, c + 1) at x. The last of an odd number is its own partner: (c at x, c at x + dilation).
    Paired,
    Planar,
}

/// Slots of a row of `channels`.
pub fn slots(layout: Layout, channels: usize) -> usize {
    match layout {
        Layout::Paired => channels.div_ceil(2),
        Layout::Planar => channels,
    }
}

/// Rows of a ring's scratch before the padded one.
const PADDED: usize = 6;

/// Floats that filling a ring takes: two rows of two channels, or of one with its four mixed rows, then a row with padding on both
/// sides.
pub fn scratch_floats(pitch: usize, dilation: usize) -> usize {
    (PADDED + 1) * pitch + 3 * ring_padding(dilation) + 32
}

/// A thread's ring: planes (lines, slots, pitch); in pairs of planes, as there, two kept planes (H, C, row) of floats follow.
#[derive(Clone, Copy)]
pub struct DotRing {
    start: *mut u16,
    scratch: *mut f32,
    layout: Layout,
    channels: usize,
    height: usize,
    width: usize,
    dilation: usize,
    /// Words, or planar bf16, from one slot to the next.
    pub pitch: usize,
    row: usize,
    lines: usize,
}

impl DotRing {
    pub fn new(start: *mut f32, scratch: *mut f32, layout: Layout, channels: usize, plan: &Plan, block: usize) -> Self {
        let (height, row, dilation) = (plan.height(), plan.pitch, plan.dilation(block));
        let lines = if plan.in_pairs(block) { MIXED_LINES } else { height };
        let pitch = ring_pitch(row, dilation);
        Self { start: start.cast(), scratch, layout, channels, height, width: plan.width(), dilation, pitch, row, lines }
    }

    fn word(&self) -> usize {
        if self.layout == Layout::Paired {
            2
        } else {
            1
        }
    }

    fn plane(&self) -> usize {
        self.lines * slots(self.layout, self.channels) * self.pitch * self.word()
    }

    /// Voxel 0 of a row's slot.
    unsafe fn voxels(&self, plane: usize, y: usize, slot: usize) -> *mut u16 {
        let line = if self.lines == self.height { y } else { y / self.dilation % self.lines };
        let row = line * slots(self.layout, self.channels) + slot;
        self.start.add(plane * self.plane() + (row * self.pitch + ring_padding(self.dilation)) * self.word())
    }

    /// Row y of a plane: slot 0, `dilation` voxels before voxel 0.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out.
    pub unsafe fn taps(&self, plane: usize, y: usize) -> *const u16 {
        self.voxels(plane, y, 0).sub(self.dilation * self.word())
    }

    /// Sets the first planes to zero.
    /// # Safety
    /// As `taps`.
    pub unsafe fn clear(&self, planes: usize) {
        slice::from_raw_parts_mut(self.start, planes * self.plane()).fill(0);
        let padded = self.row + 3 * ring_padding(self.dilation) + 32;
        slice::from_raw_parts_mut(self.scratch.add(PADDED * self.row), padded).fill(0.0);
    }

    unsafe fn kept(&self, plane: usize, y: usize, c: usize) -> *mut f32 {
        let kept = self.start.add(4 * self.plane()).cast::<f32>();
        kept.add(((plane * self.height + y) * self.channels + c) * self.row)
    }

    /// Fills a kept plane; one that is not there is zero.
    /// # Safety
    /// As `fill_line`.
    pub unsafe fn keep(&self, plane: usize, link: Option<usize>, write: impl Fn(usize, usize, usize, *mut f32) -> *const f32) {
        keep_plane(self.kept(plane, 0, 0), [self.height, self.channels, self.row], self.width, link, write);
    }

    /// Line y of planes 0 to 3 = the mixed planes of a pair, from the kept planes and two new ones, which take their place; a plane
    /// that is not there is zero.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out; `write` gives rows as in `crate::walk`.
    #[inline(never)]
    pub unsafe fn fill_line<L: Lanes>(
        &self,
        y: usize,
        new: [Option<usize>; 2],
        write: impl Fn(usize, usize, usize, *mut f32) -> *const f32,
    ) {
        self.each_slot(|slot, first, count| {
            let row = |i: usize| self.scratch.add(i * self.row);
            let read = |c: usize, to: usize| {
                let new = core::array::from_fn(|i| read_row(new[i], y, c, row(to + i), self.width, self.row, &write));
                Channel { kept: [self.kept(0, y, c), self.kept(1, y, c)], new }
            };
            let one = read(first, 0);
            let to: [*mut u16; 4] = core::array::from_fn(|plane| self.voxels(plane, y, slot));
            if self.layout == Layout::Planar {
                mix_planar::<L>(one, to, self.row);
            } else if count == 2 {
                mix_paired::<L>(one, read(first + 1, 2), to.map(|to| to.cast()), self.row);
            } else {
                let mixed: [*mut f32; 4] = core::array::from_fn(|plane| row(2 + plane));
                mix_inputs::<L>(one.kept, one.new, mixed, self.row);
                for plane in 0..4 {
                    self.put::<L>(mixed[plane], None, to[plane]);
                }
            }
        });
    }

    /// Fills a plane.
    /// # Safety
    /// As `fill_line`.
    #[inline(never)]
    pub unsafe fn fill<L: Lanes>(&self, plane: usize, link: usize, write: impl Fn(usize, usize, usize, *mut f32) -> *const f32) {
        for y in 0..self.height {
            self.each_slot(|slot, first, count| {
                let read = |c: usize, to: *mut f32| read_row(Some(link), y, c, to, self.width, self.row, &write);
                let one = read(first, self.scratch);
                let other = (count == 2).then(|| read(first + 1, self.scratch.add(self.row)));
                self.put::<L>(one, other, self.voxels(plane, y, slot));
            });
        }
    }

    /// Every slot with its first channel and how many it holds.
    #[inline(always)]
    unsafe fn each_slot(&self, mut each: impl FnMut(usize, usize, usize)) {
        for slot in 0..slots(self.layout, self.channels) {
            match self.layout {
                Layout::Paired => each(slot, 2 * slot, (self.channels - 2 * slot).min(2)),
                Layout::Planar => each(slot, slot, 1),
            }
        }
    }

    /// A slot's row from its channels' floats.
    #[inline(always)]
    unsafe fn put<L: Lanes>(&self, one: *const f32, other: Option<*const f32>, to: *mut u16) {
        match (self.layout, other) {
            (Layout::Planar, _) => narrow_row::<L>(one, to, self.row),
            (Layout::Paired, Some(other)) => pair_row::<L>(one, other, to.cast(), self.row),
            (Layout::Paired, None) => {
                let padding = ring_padding(self.dilation);
                let padded = self.scratch.add(PADDED * self.row);
                core::ptr::copy_nonoverlapping(one, padded.add(padding), self.row);
                // From the first voxel that a tap reads; beyond the row all is zero.
                let length = (padding + self.row).next_multiple_of(L::N).min(self.pitch / L::N * L::N);
                pair_row::<L>(padded, padded.add(self.dilation), to.cast::<f32>().sub(padding), length);
            }
        }
    }
}

/// to = words of the bf16 (one, other). `length` is a multiple of the lanes.
#[inline(always)]
unsafe fn pair_row<L: Lanes>(one: *const f32, other: *const f32, to: *mut f32, length: usize) {
    L::enter(
        #[inline(always)]
        || {
            for x in (0..length).step_by(L::N) {
                L::load(one.add(x)).pair_bf16(L::load(other.add(x))).store(to.add(x));
            }
        },
    )
}

/// A row of a channel in the two kept planes and in the two new ones, which take their place.
#[derive(Clone, Copy)]
struct Channel {
    kept: [*mut f32; 2],
    new: [*const f32; 2],
}

impl Channel {
    #[inline(always)]
    unsafe fn mix<L: Lanes>(&self, x: usize) -> [L; 4] {
        let (d2, d3) = (L::load(self.new[0].add(x)), L::load(self.new[1].add(x)));
        let mixed = mix(L::load(self.kept[0].add(x)), L::load(self.kept[1].add(x)), d2, d3);
        d2.store(self.kept[0].add(x));
        d3.store(self.kept[1].add(x));
        mixed
    }
}

#[inline(always)]
unsafe fn mix_planar<L: Lanes>(channel: Channel, to: [*mut u16; 4], length: usize) {
    L::enter(
        #[inline(always)]
        || {
            for x in (0..length).step_by(L::N) {
                let mixed = channel.mix::<L>(x);
                for plane in 0..4 {
                    mixed[plane].store_bf16(to[plane].add(x));
                }
            }
        },
    )
}

#[inline(always)]
unsafe fn mix_paired<L: Lanes>(one: Channel, other: Channel, to: [*mut f32; 4], length: usize) {
    L::enter(
        #[inline(always)]
        || {
            for x in (0..length).step_by(L::N) {
                let (one, other) = (one.mix::<L>(x), other.mix::<L>(x));
                for plane in 0..4 {
                    one[plane].pair_bf16(other[plane]).store(to[plane].add(x));
                }
            }
        },
    )
}
