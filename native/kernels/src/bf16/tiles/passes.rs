//! A block's passes by tiles: forward, and the way back in one pass, as `crate::backward`.

use super::convolve::{convolve, pauses};
use super::layout::{Direction, Layout};
use super::meanwhile::Share;
use super::ring::TileRing;
use super::weight_gradient::Woven;
use super::{Tiles, EDGE};
use crate::activation::through_activation;
use crate::bf16::sources::{Activated, Gradient, Image, Source};
use crate::element::Element;
use crate::items::Cut;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::pieces::{Piece, Pieces};
use crate::plan::Plan;
use crate::run::Program;

/// Chains are cut into few pieces, as planes are cut too.
fn cut(plan: &Plan, layout: &Layout) -> Pieces {
    let chains = Cut { depth: plan.depth(), dilation: layout.runs.dilation, links: (plan.depth() / 4).clamp(8, 64) };
    Pieces { chains, runs: layout.runs }
}

/// Pieces of all volumes.
pub fn pieces(plan: &Plan, block: usize, direction: Direction) -> usize {
    plan.volumes() * cut(plan, &Layout::new(plan, block, direction)).count()
}

/// A block of lines that was convolved.
#[derive(Clone, Copy, Default)]
struct Convolved {
    link: usize,
    /// Lines of the run.
    first: usize,
    end: usize,
}

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// As `forward`.
    pub(crate) unsafe fn forward_by_tiles(&self, block: usize, first: bool) -> Option<()> {
        let plan = self.plan;
        let layout = Layout::new(plan, block, Direction::Forward);
        let (channels, pitch, weights) = (plan.channels(), plan.pitch, self.packed(block, false));
        let measured = first && self.measures();
        let work = |index: usize| {
            let piece = cut(plan, &layout).piece(index);
            let sums = &mut self.partial(index)[..2 * channels];
            sums.fill(0.0);
            let ring = TileRing::new(self.tile_memory(), &layout, &piece.run, plan);
            let mut finish = |done: Convolved, results: *mut f32, step: usize| {
                let (line, c) = (done.first + step / channels, step % channels);
                let rows = results.add(step * pitch);
                let row = self.row(plan.slot(block), piece.item.volume, piece.z(done.link), piece.y(line)).add(c * pitch);
                plan.clear_beyond(rows);
                let (sum, squares) = self.keep_channel(rows, row);
                if measured {
                    sums[c] += sum;
                    sums[channels + c] += squares;
                }
            };
            let mut tiles = E::Tiles::begin();
            if block == 0 {
                let source = self.image(&piece, &layout);
                self.convolve_item(&mut tiles, &piece, &layout, &ring, weights, channels, &source, &mut finish, |_, _| ());
            } else {
                let source = Activated::new(self, &piece.item, block);
                self.convolve_item(&mut tiles, &piece, &layout, &ring, weights, channels, &source, &mut finish, |_, _| ());
            }
            tiles.end();
            L::end_streams();
        };
        let pieces = pieces(plan, block, Direction::Forward);
        self.pass(pieces, work, || {
            if measured {
                self.set_measured_coefficients(block, pieces);
            }
        })
    }

    /// The way through an item: `source` fills the ring, `finish(block, results, step)` does the steps, `steps` a line, of what a block
    /// of lines has to go through, `after(tiles, block)` comes when they are done.
    #[inline(always)]
    unsafe fn convolve_item(
        &self,
        tiles: &mut E::Tiles,
        piece: &Piece,
        layout: &Layout,
        ring: &TileRing,
        weights: *const f32,
        steps: usize,
        source: &impl Source<L>,
        finish: &mut impl FnMut(Convolved, *mut f32, usize),
        after: impl Fn(&mut E::Tiles, Convolved),
    ) {
        let (item, lines, block) = (&piece.item, piece.lines(), &layout.block);
        (item.first.saturating_sub(1)..(item.first + 2).min(item.links)).for_each(|link| ring.fill_plane(link, source));
        let results = self.tile_memory().add(layout.results).cast::<f32>();
        let results_of = |index: usize| results.add(index % 2 * block.ms * EDGE * self.plan.pitch);
        for link in item.first..item.end {
            if self.team.cancelled() {
                return;
            }
            // The plane after the next takes the place of one that is not needed any more.
            let mut filling = ring.begin(link + 2);
            let is_there = link + 1 < item.end && link + 2 < item.links;
            let pauses = pauses(layout, piece.taps(link));
            let mut fills = Share::new(if is_there { ring.steps() } else { 0 }, lines.div_ceil(block.lines) * pauses);
            let mut done = None;
            for (index, first) in (0..lines).step_by(block.lines).enumerate() {
                let now = Convolved { link, first, end: (first + block.lines).min(lines) };
                let before: Convolved = done.unwrap_or_default();
                let mut finishes = Share::new(steps * (before.end - before.first), pauses);
                let to = results_of(index + 1);
                convolve(tiles, layout, ring, (link, item.links), first, weights, results_of(index), &mut || {
                    fills.pause(|_| ring.fill(&mut filling, source));
                    finishes.pause(|step| finish(before, to, step));
                });
                finishes.finish(|step| finish(before, to, step));
                if done.is_some() {
                    after(tiles, before);
                }
                done = Some(now);
            }
            if let Some(last) = done {
                let to = results_of((lines - 1) / block.lines);
                (0..steps * (last.end - last.first)).for_each(|step| finish(last, to, step));
                after(tiles, last);
            }
            fills.finish(|_| ring.fill(&mut filling, source));
        }
    }

    /// As `backward`.
    pub(crate) unsafe fn backward_by_tiles(&self, block: usize) -> Option<()> {
        if self.plan.settles(block) {
            self.settle(block)?;
        }
        let plan = self.plan;
        let layout = Layout::new(plan, block, Direction::Backward);
        let (channels, pitch, weights) = (plan.channels(), plan.pitch, self.packed(block, true));
        let shape = self.shape(block, layout.channels, layout.others);
        let columns = 27 * layout.channels * layout.others;
        let values = self.floats(0);
        let work = |index: usize| {
            let piece = cut(plan, &layout).piece(index);
            let (item, lines) = (&piece.item, piece.lines());
            let (products, sums) = self.partial(index)[..columns + 2 * channels].split_at_mut(columns);
            sums.fill(0.0);
            let ring = TileRing::new(self.tile_memory(), &layout, &piece.run, plan);
            let woven = Woven::new(self.tile_memory(), &layout);
            let mut tiles = E::Tiles::begin();
            let accumulate = |tiles: &mut E::Tiles, done: Convolved| {
                woven.accumulate(tiles, &ring, (done.link, item.links), done.first..done.end);
                if done.end == lines {
                    woven.conclude();
                }
            };
            if block == 0 {
                self.first_weights_by_tiles(&mut tiles, &piece, &layout, &ring, &woven, accumulate);
            } else {
                let mut finish = |done: Convolved, results: *mut f32, step: usize| {
                    let each = 2 * channels + woven.steps();
                    let (line, step) = (step / each, step % each);
                    if step >= 2 * channels {
                        return woven.put::<L>(line, step - 2 * channels, values);
                    }
                    let (c, at) = (step / 2, step / 2 * pitch + step % 2 * (pitch / 2));
                    let (z, y) = (piece.z(done.link), piece.y(done.first + line));
                    let rows = results.add(line * channels * pitch);
                    if step % 2 == 0 {
                        // Beyond the width nothing counts.
                        plan.clear_beyond(rows.add(c * pitch));
                    }
                    let to = self.row(plan.gradient_slot(block - 1), item.volume, z, y).add(at);
                    let from = self.row(plan.slot(block - 1), item.volume, z, y).add(at);
                    let (k, ahead) = (self.coefficients(block - 1, item.volume, c), self.ahead_by_tiles(block));
                    let (gradient, values_at, streamed) = (rows.add(at), Some(values.add(at)), plan.streams());
                    let (sum, product) = L::enter(
                        #[inline(always)]
                        || through_activation::<L, E, A>(gradient, to, streamed, values_at, from, pitch / 2, k, ahead),
                    );
                    sums[c] += f64::from(sum);
                    sums[channels + c] += f64::from(product);
                    if step % 2 == 1 {
                        plan.clear_beyond(values.add(c * pitch));
                    }
                };
                let steps = 2 * channels + woven.steps();
                if plan.settles(block) {
                    let source = Gradient::<E, true>::new(self, item, block);
                    self.convolve_item(&mut tiles, &piece, &layout, &ring, weights, steps, &source, &mut finish, accumulate);
                } else {
                    let source = Gradient::<E, false>::new(self, item, block);
                    self.convolve_item(&mut tiles, &piece, &layout, &ring, weights, steps, &source, &mut finish, accumulate);
                }
            }
            tiles.end();
            woven.unweave(products);
            L::end_streams();
        };
        let pieces = pieces(plan, block, Direction::Backward);
        self.pass(pieces, work, || {
            self.conclude_weights(block, pieces, &shape, block > 0);
            if block > 0 {
                self.conclude_normalisation(block - 1, pieces, columns);
            }
        })
    }

    /// The gradient by the weights of the first block: the image in the ring, gradients around it.
    unsafe fn first_weights_by_tiles(
        &self,
        tiles: &mut E::Tiles,
        piece: &Piece,
        layout: &Layout,
        ring: &TileRing,
        woven: &Woven,
        after: impl Fn(&mut E::Tiles, Convolved),
    ) {
        let (plan, item, values) = (self.plan, &piece.item, self.floats(0));
        let source = self.image(piece, layout);
        let mut filled = item.first.saturating_sub(1);
        for link in item.first..item.end {
            while filled < (link + 2).min(item.links) {
                ring.fill_plane(filled, &source);
                filled += 1;
            }
            if self.team.cancelled() {
                return;
            }
            for line in 0..piece.lines() {
                for c in 0..plan.channels() {
                    let to = values.add(c * plan.pitch);
                    self.gradient_row(0, item.volume, piece.z(link), piece.y(line), c, to);
                    plan.clear_beyond(to);
                }
                (0..woven.steps()).for_each(|step| woven.put::<L>(0, step, values));
                after(tiles, Convolved { link, first: line, end: line + 1 });
            }
        }
    }

    /// This thread's memory for tiles.
    unsafe fn tile_memory(&self) -> *mut u8 {
        self.thread_memory(self.plan.thread.tiles).cast()
    }

    /// Elements from a row to the one that is read a plane later.
    fn ahead_by_tiles(&self, block: usize) -> usize {
        self.plan.ahead(block) * self.plan.height()
    }

    unsafe fn image<'b>(&'b self, piece: &'b Piece, layout: &Layout) -> Image<'b, L, E, A> {
        Image::new(self, &piece.item, self.tile_memory().add(layout.row).cast(), 1)
    }
}
