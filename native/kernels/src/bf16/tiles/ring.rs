//! Neighbouring planes of a chain, of each a run of lines with one more on either side, as tiles read them.

use super::block::slots;
use super::layout::{Layout, PLANES};
use super::EDGE;
use crate::bf16::sources::{Row, Source};
use crate::lanes::Lanes;
use crate::plan::Plan;
use crate::runs::Run;
use core::ops::Range;
use core::slice;

/// A thread's ring: `Layout::words` for convolutions, `Layout::halves` for the gradient by the weights.
#[derive(Clone, Copy)]
pub struct TileRing<'a> {
    layout: &'a Layout,
    run: &'a Run,
    plan: &'a Plan,
    words: *mut u32,
    halves: *mut u32,
}

/// How far a plane is filled. A step is a few vectors, so that it can be done while tiles are multiplied.
#[derive(Clone, Copy)]
pub struct Filling {
    link: usize,
    line: usize,
    slot: usize,
    vector: usize,
}

/// Vectors of a step, of each half of two rows.
const VECTORS: usize = 4;

impl<'a> TileRing<'a> {
    /// # Safety
    /// `memory` is a thread's, as `layout` has it.
    pub unsafe fn new(memory: *mut u8, layout: &'a Layout, run: &'a Run, plan: &'a Plan) -> Self {
        let (words, halves) = (memory.add(layout.words).cast(), memory.add(layout.halves).cast());
        let ring = Self { layout, run, plan, words, halves };
        for link in 0..PLANES {
            // What is read of lines that are not there, and with weights of zero.
            let lines = (run.end - run.first).next_multiple_of(layout.runs.block) + 2;
            for line in (0..lines).filter(|&line| line + run.first == 0 || line + run.first > run.lines) {
                ring.clear(link, line, usize::from(layout.convolves) * slots(layout.channels), layout.channels);
            }
            if layout.convolves {
                ring.clear(link, lines, layout.block.spare_rows(), 0);
            }
        }
        ring
    }

    /// Zeros rows of words and of halves from a line on.
    unsafe fn clear(&self, link: usize, line: usize, words: usize, halves: usize) {
        let (word_pitch, half_pitch, padding) = (self.layout.word_pitch, self.layout.half_pitch, self.layout.padding());
        let row = self.words(link, line).sub(padding);
        slice::from_raw_parts_mut(row, words * word_pitch).fill(0);
        if self.layout.multiplies {
            slice::from_raw_parts_mut(self.halves(link, line), halves * half_pitch).fill(0);
        }
    }

    /// Vector 0 of slot 0 of a line; line 0 is the one before the run's first.
    #[inline(always)]
    pub unsafe fn words(&self, link: usize, line: usize) -> *mut u32 {
        let row = link % PLANES * self.layout.word_rows() + line * slots(self.layout.channels);
        self.words.add(row * self.layout.word_pitch + self.layout.padding())
    }

    /// Vector 0 of channel 0 of a line, as `words`.
    #[inline(always)]
    pub unsafe fn halves(&self, link: usize, line: usize) -> *mut u32 {
        let row = (link % PLANES * self.layout.lines + line) * self.layout.channels;
        self.halves.add(row * self.layout.half_pitch)
    }

    /// Steps that filling a plane takes.
    pub fn steps(&self) -> usize {
        let lines = (self.run.end + 1).min(self.run.lines) - self.run.first.saturating_sub(1);
        lines * slots(self.layout.channels) * (self.layout.steps.div_ceil(VECTORS) + 1)
    }

    pub fn begin(&self, link: usize) -> Filling {
        Filling { link, line: self.run.first.saturating_sub(1), slot: 0, vector: 0 }
    }

    /// A whole plane.
    /// # Safety
    /// As `new`.
    pub unsafe fn fill_plane<L: Lanes>(&self, link: usize, source: &impl Source<L>) {
        let mut filling = self.begin(link);
        (0..self.steps()).for_each(|_| self.fill(&mut filling, source));
    }

    /// The next step. There is one more.
    /// # Safety
    /// As `new`.
    #[inline(always)]
    pub unsafe fn fill<L: Lanes>(&self, at: &mut Filling, source: &impl Source<L>) {
        let layout = self.layout;
        if at.vector < layout.steps {
            let end = (at.vector + VECTORS).min(layout.steps);
            self.fill_vectors(*at, at.vector..end, source);
            at.vector = end;
            return;
        }
        self.extend_slot::<L>(*at);
        at.vector = 0;
        at.slot += 1;
        if at.slot == slots(layout.channels) {
            at.slot = 0;
            at.line += 1;
        }
    }

    #[inline(always)]
    unsafe fn fill_vectors<L: Lanes>(&self, at: Filling, vectors: Range<usize>, source: &impl Source<L>) {
        match (self.layout.multiplies, self.layout.convolves, 2 * at.slot + 1 < self.layout.channels) {
            (false, _, true) => self.fill_some::<L, true, false, true>(at, vectors, source),
            (false, _, false) => self.fill_some::<L, true, false, false>(at, vectors, source),
            (true, true, true) => self.fill_some::<L, true, true, true>(at, vectors, source),
            (true, true, false) => self.fill_some::<L, true, true, false>(at, vectors, source),
            (true, false, true) => self.fill_some::<L, false, true, true>(at, vectors, source),
            (true, false, false) => self.fill_some::<L, false, true, false>(at, vectors, source),
        }
    }

    /// Vectors of a slot's channels and of the other halves of their rows.
    #[inline(never)]
    unsafe fn fill_some<L: Lanes, const WORDS: bool, const HALVES: bool, const PAIR: bool>(
        &self,
        at: Filling,
        vectors: Range<usize>,
        source: &impl Source<L>,
    ) {
        let layout = self.layout;
        let (y, line, c) = (self.run.residue + at.line * layout.runs.dilation, at.line + 1 - self.run.first, 2 * at.slot);
        let words = self.words(at.link, line).add(at.slot * layout.word_pitch).cast::<f32>();
        let halves = self.halves(at.link, line).add(c * layout.half_pitch).cast::<f32>();
        let (half, half_pitch) = (layout.steps * EDGE, layout.half_pitch);
        // The next plane of the chain.
        let ahead = layout.runs.dilation * self.plan.height() * self.plan.channels() * self.plan.pitch;
        L::enter(
            #[inline(always)]
            move || {
                let (one, other) = (source.row(at.link, y, c, ahead), source.row(at.link, y, c + usize::from(PAIR), ahead));
                for x in (vectors.start * EDGE..vectors.end * EDGE).step_by(L::N) {
                    let (a, b) = (one.at(x), one.at(x + half));
                    let (mut p, mut q) = (L::splat(0.0), L::splat(0.0));
                    if PAIR {
                        (p, q) = (other.at(x), other.at(x + half));
                    }
                    if WORDS {
                        a.pair_bf16(p).store(words.add(x));
                        b.pair_bf16(q).store(words.add(x + half));
                    }
                    if HALVES {
                        a.pair_bf16(b).store(halves.add(x));
                        if PAIR {
                            p.pair_bf16(q).store(halves.add(half_pitch + x));
                        }
                    }
                }
            },
        )
    }

    /// Zeros beyond the width, and the vectors before and after a row of words (s vectors of sixteen, lane l of vector v being voxel v + s l):
    /// what lies there is what vectors of the row hold in other lanes, and zero beyond the row's ends.
    #[inline(never)]
    unsafe fn extend_slot<L: Lanes>(&self, at: Filling) {
        let (layout, line) = (self.layout, at.line + 1 - self.run.first);
        if layout.convolves {
            let row = self.words(at.link, line).add(at.slot * layout.word_pitch);
            self.plan.clear_beyond(row.cast());
            L::enter(
                #[inline(always)]
                || {
                    let vectors = 2 * layout.steps;
                    each_beside(
                        vectors,
                        vectors,
                        layout.apart,
                        #[inline(always)]
                        |v, turns, from| L::slide(row.add(from * EDGE), row.offset(v * EDGE as isize), turns, false),
                    );
                },
            );
        }
        for c in 2 * at.slot..if layout.multiplies { (2 * at.slot + 2).min(layout.channels) } else { 0 } {
            let halves = self.halves(at.link, line).add(c * layout.half_pitch).cast::<u16>();
            let half = layout.steps * EDGE;
            // A place of the upper half of a row is an upper half.
            self.plan.places(self.plan.width()..self.plan.pitch, |_, place| {
                *halves.add(2 * (place % half) + usize::from(place >= half)) = 0;
            });
        }
    }
}

/// The vectors before and behind a row of `length` that neighbours so many vectors apart lie in: calls `each(v, turns, from)` for vector
/// v = turns * vectors + from.
#[inline(always)]
pub(super) fn each_beside(length: usize, vectors: usize, apart: usize, mut each: impl FnMut(isize, isize, usize)) {
    let count = length.min(apart);
    for first in [-(apart as isize), (length + apart - count) as isize] {
        let (mut turns, mut from) = (first.div_euclid(vectors as isize), first.rem_euclid(vectors as isize) as usize);
        for v in first..first + count as isize {
            each(v, turns, from);
            from += 1;
            if from == vectors {
                (turns, from) = (turns + 1, 0);
            }
        }
    }
}
