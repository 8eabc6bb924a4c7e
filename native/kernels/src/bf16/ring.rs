//! The planes that a convolution by dot products reads, in bf16: as `crate::ring`, with rows laid out for what multiplies them.

use crate::bf16::sources::{Row, Source};
use crate::fours::{mix, MIXED, TOGETHER};
use crate::lanes::{within, Lanes};
use crate::pieces::Piece;
use crate::plan::{ring_padding, ring_pitch, Plan};
use core::slice;

/// Words of two channels: (c, c + 1) at x. The last of an odd number is its own partner: (c at x, c at x + dilation).
fn pairs(channels: usize) -> usize {
    channels.div_ceil(2)
}

/// Zeros on both sides of a planar row, in bf16: whole cache lines.
fn planar_padding(dilation: usize) -> usize {
    dilation.next_multiple_of(32)
}

/// bf16 from one planar row to the next: an odd number of cache lines.
fn planar_pitch(row: usize, dilation: usize) -> usize {
    ((row + 2 * planar_padding(dilation)).div_ceil(32) | 1) * 32
}

/// bf16 of a line: rows of pairs, and planar ones.
fn line_length(channels: usize, row: usize, dilation: usize) -> usize {
    2 * pairs(channels) * ring_pitch(row, dilation) + channels * planar_pitch(row, dilation)
}

/// Floats of a thread's ring for runs that reach so many lines: three planes, or the mixed ones with those that are kept for the next four.
pub fn ring_floats(channels: usize, lines: usize, row: usize, dilation: usize, mixed: bool) -> usize {
    let line = line_length(channels, row, dilation).div_ceil(2);
    if mixed {
        MIXED * MIXED_LINES * line + KEPT * lines * channels * row
    } else {
        3 * lines * line
    }
}

/// Lines of a mixed plane: a line of the output, its two neighbours, and the one before, whose products with others wait.
const MIXED_LINES: usize = 4;

/// Planes that a four leaves for the next.
const KEPT: usize = 2;

/// A thread's ring: planes (lines, line), a line being rows (pairs, pitch) of words and, where the gradient by the weights reads them too,
/// planar rows (C, planar pitch) of bf16; the last of an odd number of channels always has one. A piece's lines are numbered from the first that its run reaches. In fours of planes, as in
/// `crate::ring`, two kept planes (reached, C, row) of floats follow.
#[derive(Clone, Copy)]
pub struct DotRing {
    start: *mut u16,
    planar: bool,
    channels: usize,
    width: usize,
    dilation: usize,
    /// Words from one row of pairs to the next.
    pitch: usize,
    row: usize,
    /// Lines of a plane.
    lines: usize,
    /// y of line 0.
    y: usize,
    /// Lines that the run reaches, and which of them is its first.
    pub reached: usize,
    pub first: usize,
    /// A plane of the chain.
    any_link: usize,
}

impl DotRing {
    pub fn new(start: *mut f32, planar: bool, channels: usize, plan: &Plan, block: usize, piece: &Piece) -> Self {
        let (row, dilation, run) = (plan.pitch, plan.dilation(block), &piece.run);
        let first = run.first.min(1);
        let reached = first + piece.lines() + usize::from(run.end < run.lines);
        Self {
            start: start.cast(),
            planar,
            channels,
            width: plan.width(),
            dilation,
            pitch: ring_pitch(row, dilation),
            row,
            lines: if plan.in_fours(block) { MIXED_LINES } else { reached },
            y: run.residue + (run.first - first) * dilation,
            reached,
            first,
            any_link: piece.item.first,
        }
    }

    /// bf16 from one planar row to the next.
    pub fn planar_pitch(&self) -> usize {
        planar_pitch(self.row, self.dilation)
    }

    /// From a row of `neighbours` to the same line's planar rows: channel 0, `dilation` voxels before voxel 0.
    pub fn planar_offset(&self) -> usize {
        let voxels = 2 * pairs(self.channels) * self.pitch + planar_padding(self.dilation);
        voxels - self.dilation - 2 * (ring_padding(self.dilation) - self.dilation)
    }

    fn line(&self) -> usize {
        line_length(self.channels, self.row, self.dilation)
    }

    fn plane(&self) -> usize {
        self.lines * self.line()
    }

    unsafe fn line_at(&self, plane: usize, line: usize) -> *mut u16 {
        self.start.add(plane * self.plane() + line % self.lines * self.line())
    }

    /// Voxel 0 of a row of pairs.
    unsafe fn words(&self, plane: usize, line: usize, pair: usize) -> *mut u16 {
        self.line_at(plane, line).add(2 * (pair * self.pitch + ring_padding(self.dilation)))
    }

    /// Voxel 0 of a planar row.
    unsafe fn voxels(&self, plane: usize, line: usize, c: usize) -> *mut u16 {
        let rows = self.line_at(plane, line).add(2 * pairs(self.channels) * self.pitch);
        rows.add(c * self.planar_pitch() + planar_padding(self.dilation))
    }

    /// The line before a plane's line, that line and the one after it, those that are reached: pair 0, `dilation` words before voxel 0.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out.
    pub unsafe fn neighbours(&self, plane: usize, line: usize) -> [Option<*const u16>; 3] {
        let mut rows = [None; 3];
        for ky in 0..3 {
            let line = (line + ky).wrapping_sub(1);
            if line < self.reached {
                rows[ky] = Some(self.words(plane, line, 0).sub(2 * self.dilation).cast_const());
            }
        }
        rows
    }

    /// Sets the first planes to zero.
    /// # Safety
    /// As `neighbours`.
    pub unsafe fn clear(&self, planes: usize) {
        slice::from_raw_parts_mut(self.start, planes * self.plane()).fill(0);
    }

    unsafe fn kept(&self, plane: usize, line: usize, c: usize) -> *mut f32 {
        let kept = self.start.add(MIXED * self.plane()).cast::<f32>();
        kept.add(((plane * self.reached + line) * self.channels + c) * self.row)
    }

    fn y(&self, line: usize) -> usize {
        self.y + line * self.dilation
    }

    /// The rows of a channel that a line is mixed of.
    #[inline(always)]
    unsafe fn channel<L: Lanes, S: Source<L>>(
        &self,
        line: usize,
        c: usize,
        new: [Option<usize>; TOGETHER],
        source: &S,
        ahead: usize,
    ) -> Channel<S::Row> {
        let mut limits = [0; TOGETHER];
        // In place of a row that is not there another one, of which nothing counts.
        let mut rows = [source.row(new[0].unwrap_or(self.any_link), self.y(line), c, ahead); TOGETHER];
        for (i, link) in new.into_iter().enumerate() {
            if let Some(link) = link {
                rows[i] = source.row(link, self.y(line), c, ahead);
                limits[i] = self.width;
            }
        }
        Channel { kept: [self.kept(0, line, c), self.kept(1, line, c)], new: rows, limits }
    }

    /// Fills a kept plane; one that is not there is zero.
    /// # Safety
    /// As `fill_line`.
    #[inline(never)]
    pub unsafe fn keep<L: Lanes, S: Source<L>>(&self, plane: usize, link: Option<usize>, source: &S) {
        let Some(link) = link else {
            slice::from_raw_parts_mut(self.kept(plane, 0, 0), self.reached * self.channels * self.row).fill(0.0);
            return;
        };
        L::enter(
            #[inline(always)]
            || {
                for line in 0..self.reached {
                    for c in 0..self.channels {
                        let (row, to) = (source.row(link, self.y(line), c, 0), self.kept(plane, line, c));
                        for x in (0..self.row).step_by(L::N) {
                            within(row.at(x), x, self.width).store(to.add(x));
                        }
                    }
                }
            },
        )
    }

    /// A line of planes 0 to 5 = the mixed planes of a four, from the kept planes and four new ones, of which the last two take their place;
    /// a plane that is not there is zero. What is `ahead` elements further in a tensor will be read soon.
    /// # Safety
    /// The ring's memory is as `Plan` lays it out; the source has the lines.
    #[inline(never)]
    pub unsafe fn fill_line<L: Lanes, S: Source<L>>(
        &self,
        line: usize,
        new: [Option<usize>; TOGETHER],
        source: &S,
        ahead: usize,
    ) {
        L::enter(
            #[inline(always)]
            || {
                for pair in 0..pairs(self.channels) {
                    let c = 2 * pair;
                    let (one, to) = (self.channel::<L, S>(line, c, new, source, ahead), self.rows(0, line, c));
                    if c + 1 == self.channels {
                        narrow_alone::<L, MIXED>(
                            #[inline(always)]
                            |x| one.mix::<L>(x),
                            to,
                            self.row,
                        );
                        for plane in 0..MIXED {
                            self.pair_alone::<L>(plane, line);
                        }
                        continue;
                    }
                    let other = self.channel::<L, S>(line, c + 1, new, source, ahead);
                    let (one, other) = (
                        #[inline(always)]
                        |x| one.mix::<L>(x),
                        #[inline(always)]
                        |x| other.mix::<L>(x),
                    );
                    if self.planar {
                        narrow_pair::<L, MIXED, true>(one, other, to, self.row);
                    } else {
                        narrow_pair::<L, MIXED, false>(one, other, to, self.row);
                    }
                }
            },
        )
    }

    /// Fills a plane.
    /// # Safety
    /// As `fill_line`.
    #[inline(never)]
    pub unsafe fn fill<L: Lanes, S: Source<L>>(&self, plane: usize, link: usize, source: &S) {
        L::enter(
            #[inline(always)]
            || {
                for line in 0..self.reached {
                    for pair in 0..pairs(self.channels) {
                        let c = 2 * pair;
                        let (one, to) = (source.row(link, self.y(line), c, 0), self.rows(plane, line, c));
                        let (one,) = (
                            #[inline(always)]
                            |x| [[within(one.at(x), x, self.width)], [within(one.at(x + L::N), x + L::N, self.width)]],
                        );
                        if c + 1 == self.channels {
                            narrow_alone::<L, 1>(one, to, self.row);
                            self.pair_alone::<L>(plane, line);
                            continue;
                        }
                        let other = source.row(link, self.y(line), c + 1, 0);
                        narrow_pair::<L, 1, true>(
                            one,
                            #[inline(always)]
                            |x| [[within(other.at(x), x, self.width)], [within(other.at(x + L::N), x + L::N, self.width)]],
                            to,
                            self.row,
                        );
                    }
                }
            },
        )
    }

    unsafe fn rows(&self, plane: usize, line: usize, c: usize) -> Rows {
        Rows {
            words: self.words(plane, line, c / 2),
            voxels: self.voxels(plane, line, c),
            planar_pitch: self.planar_pitch(),
            to_next: self.plane(),
        }
    }

    /// The words of a channel that is its own partner, from its planar row.
    #[inline(always)]
    unsafe fn pair_alone<L: Lanes>(&self, plane: usize, line: usize) {
        // From the first voxel that a tap reads; beyond the row all is zero.
        let padding = ring_padding(self.dilation);
        let last = self.channels - 1;
        let (from, to) = (self.voxels(plane, line, last), self.words(plane, line, last / 2).cast::<f32>());
        let mut x = -(padding as isize);
        while x < self.row as isize {
            let (at_x, further) = (L::load(from.offset(x).cast()), L::load(from.offset(x + self.dilation as isize).cast()));
            let [words, next] = at_x.interleave_bf16(further);
            words.store(to.offset(x));
            next.store(to.offset(x + L::N as isize));
            x += 2 * L::N as isize;
        }
    }
}

/// A row of a channel in the two kept planes and in the four new ones, of which the last two take their place.
#[derive(Clone, Copy)]
struct Channel<R> {
    kept: [*mut f32; KEPT],
    new: [R; TOGETHER],
    /// How many voxels of each new row count; beyond them it is zero.
    limits: [usize; TOGETHER],
}

impl<R> Channel<R> {
    #[inline(always)]
    unsafe fn mix<L: Lanes>(&self, x: usize) -> [[L; MIXED]; 2]
    where
        R: Row<L>,
    {
        let mut d = [[L::splat(0.0); MIXED]; 2];
        for i in 0..TOGETHER {
            let [one, next] = self.new[i].two(x);
            d[0][KEPT + i] = within(one, x, self.limits[i]);
            d[1][KEPT + i] = within(next, x + L::N, self.limits[i]);
        }
        for v in 0..2 {
            for i in 0..KEPT {
                let kept = self.kept[i].add(x + v * L::N);
                d[v][i] = L::load(kept);
                d[v][TOGETHER + i].store(kept);
            }
        }
        [mix(d[0]), mix(d[1])]
    }
}

/// Rows of a channel and of the next in a plane, and how far it is to the next plane's.
#[derive(Clone, Copy)]
struct Rows {
    words: *mut u16,
    voxels: *mut u16,
    planar_pitch: usize,
    to_next: usize,
}

/// The rows of two channels in M planes, from the two vectors of each that `one(x)` and `other(x)` give; `PLANAR`: theirs too.
#[inline(always)]
unsafe fn narrow_pair<L: Lanes, const M: usize, const PLANAR: bool>(
    one: impl Fn(usize) -> [[L; M]; 2],
    other: impl Fn(usize) -> [[L; M]; 2],
    to: Rows,
    length: usize,
) {
    for x in (0..length).step_by(2 * L::N) {
        let (a, b) = (narrowed(&one, x), narrowed(&other, x));
        for plane in 0..M {
            let words = to.words.add(plane * to.to_next).cast::<f32>().add(x);
            let [first, second] = a[plane].interleave_bf16(b[plane]);
            first.store(words);
            second.store(words.add(L::N));
            if PLANAR {
                let voxels = to.voxels.add(plane * to.to_next + x);
                a[plane].store(voxels.cast());
                b[plane].store(voxels.add(to.planar_pitch).cast());
            }
        }
    }
}

/// The planar rows of a channel in M planes.
#[inline(always)]
unsafe fn narrow_alone<L: Lanes, const M: usize>(one: impl Fn(usize) -> [[L; M]; 2], to: Rows, length: usize) {
    for x in (0..length).step_by(2 * L::N) {
        let values = narrowed(&one, x);
        for plane in 0..M {
            values[plane].store(to.voxels.add(plane * to.to_next + x).cast());
        }
    }
}

/// Two vectors of each plane as one of bf16.
#[inline(always)]
unsafe fn narrowed<L: Lanes, const M: usize>(of: &impl Fn(usize) -> [[L; M]; 2], x: usize) -> [L; M] {
    let [mut values, next] = of(x);
    for plane in 0..M {
        values[plane] = values[plane].narrow_two(next[plane]);
    }
    values
}
