//! The way back through a block where bf16 are multiplied: as `crate::backward`, the gradient's rows in both layouts of the ring.

use crate::bf16::ring::DotRing;
use crate::bf16::sources::{Gradient, Image};
use crate::bf16::weight_gradient::weave;
use crate::conv::RowShape;
use crate::element::Element;
use crate::fours::{mix_gradients, MIXED, TOGETHER};
use crate::lanes::Lanes;
use crate::line::Line;
use crate::math::Activation;
use crate::run::Program;
use crate::weight_gradient::accumulate_rows;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// As `backward`, of a block that has one before it.
    pub(crate) unsafe fn backward_by_dots(&self, block: usize) -> Option<()> {
        let plan = self.plan;
        let (channels, length) = (plan.channels(), plan.channels() * plan.pitch);
        let shape = self.shape(block, channels, channels);
        let columns = 9 * shape.planes * channels * channels;
        let weights = self.packed(block, true);
        let plain = self.rows_at(|rows| rows.plain);
        let pieces = plan.pieces(block);
        let work = |index: usize| {
            let piece = pieces.piece(index);
            let (volume, ring) = (piece.item.volume, self.dot_ring(block, &piece, channels, true));
            let (products, sums) = self.cleared_sums(index, columns, 2 * channels);
            let last = piece.y(piece.lines() - 1);
            let (mut lines, mut waiting) = (0, None);
            let each = |line: &Line<u16>| {
                let is_last = line.y == last;
                let ahead = if is_last { plan.ahead_of_run(block, piece.lines()) } else { plan.ahead(block) };
                if line.mixed {
                    let (mut from, mut to) = ([core::ptr::null(); TOGETHER], [core::ptr::null_mut(); TOGETHER]);
                    for (i, z) in line.planes() {
                        from[i] = self.row(plan.slot(block - 1), volume, z, line.y).cast_const();
                        to[i] = self.row(plan.gradient_slot(block - 1), volume, z, line.y);
                    }
                    let mixed = core::array::from_fn(|plane| line.rows(plane));
                    let woven = self.woven(&shape, waiting.is_some());
                    self.convolve_through_activation(mixed, weights, &shape, block - 1, volume, from, to, woven, sums, ahead);
                } else {
                    let to = self.convolve_dots(line, weights, &shape);
                    for (i, z) in line.planes() {
                        let (values, row) = (plain.add(i * length), self.row(plan.gradient_slot(block - 1), volume, z, line.y));
                        self.through_activation(to[i], row, values, block - 1, volume, z, line.y, sums, ahead);
                        self.clear_tail(values);
                    }
                    self.weave_line(line, &shape, waiting.is_some());
                }
                self.accumulate_dots(line, is_last, &mut waiting, &ring, &shape);
                self.count_line(&mut lines, products);
            };
            if plan.settles(block) {
                self.walk_dots(block, &ring, &piece, &Gradient::<E, true>::new(self, &piece.item, block), each);
            } else {
                self.walk_dots(block, &ring, &piece, &Gradient::<E, false>::new(self, &piece.item, block), each);
            }
            self.flush(products);
            L::end_streams();
        };
        let items = plan.items(block);
        self.pass(items, work, || {
            self.conclude_weights(block, items, &shape, true);
            self.conclude_normalisation(block - 1, items, columns);
        })
    }

    /// As `first_weights`.
    pub(crate) unsafe fn first_weights_by_dots(&self) -> Option<()> {
        let plan = self.plan;
        let channels = plan.channels();
        let shape = self.shape(0, 1, channels);
        let columns = 9 * shape.planes * channels;
        let pieces = plan.pieces(0);
        let work = |index: usize| {
            let piece = pieces.piece(index);
            let (volume, ring) = (piece.item.volume, self.dot_ring(0, &piece, 1, true));
            let (products, _) = self.cleared_sums(index, columns, 0);
            let image = Image::new(self, &piece.item, self.thread_memory(plan.thread.rows), TOGETHER);
            let last = piece.y(piece.lines() - 1);
            let (mut lines, mut waiting) = (0, None);
            self.walk_dots(0, &ring, &piece, &image, |line| {
                self.gradient_rows(0, volume, line);
                self.weave_line(line, &shape, waiting.is_some());
                self.accumulate_dots(line, line.y == last, &mut waiting, &ring, &shape);
                self.count_line(&mut lines, products);
            });
            self.flush(products);
        };
        let items = plan.items(0);
        self.pass(items, work, || self.conclude_weights(0, items, &shape, false))
    }

    /// Where a line's rows are woven; the second of two lines beside the first.
    unsafe fn woven(&self, shape: &RowShape, is_second: bool) -> *mut u16 {
        let line = MIXED * shape.outputs * shape.pitch;
        self.rows_at(|rows| rows.woven).cast::<u16>().add(usize::from(is_second) * line)
    }

    /// Weaves a line's rows in `Rows::plain`.
    unsafe fn weave_line(&self, line: &Line<u16>, shape: &RowShape, is_second: bool) {
        let woven = self.woven(shape, is_second);
        if line.mixed {
            weave::<L, TOGETHER, MIXED>(
                self.plain_rows(line),
                woven,
                shape.outputs,
                shape.pitch,
                #[inline(always)]
                |rows| mix_gradients(rows),
            );
        } else {
            weave::<L, 1, 1>(
                self.rows_at(|rows| rows.plain),
                woven,
                shape.outputs,
                shape.pitch,
                #[inline(always)]
                |rows| rows,
            );
        }
    }

    /// As `accumulate` of a line that is woven, two lines at a time: `waiting` is the first of them until the second comes, or until the run's last,
    /// which does not wait.
    unsafe fn accumulate_dots(
        &self,
        line: &Line<u16>,
        is_last: bool,
        waiting: &mut Option<Line<u16>>,
        ring: &DotRing,
        shape: &RowShape,
    ) {
        let woven = [self.woven(shape, false), self.woven(shape, true)];
        let line = line.further(ring.planar_offset());
        let shape = &RowShape { input_pitch: ring.planar_pitch(), ..*shape };
        match waiting.take() {
            Some(first) if first.has_taps_of(&line) => self.add_products([&first, &line], woven, shape),
            Some(first) => {
                self.add_products([&first], [woven[0]], shape);
                self.add_products([&line], [woven[1]], shape);
            }
            None if is_last => self.add_products([&line], [woven[0]], shape),
            None => *waiting = Some(line),
        }
    }

    /// Adds the products of lines' tap rows with their woven rows to the thread's vectors.
    unsafe fn add_products<const LINES: usize>(&self, lines: [&Line<u16>; LINES], woven: [*mut u16; LINES], shape: &RowShape) {
        let vectors = self.thread_memory(self.plan.thread.sums);
        if !lines[0].mixed {
            return accumulate_rows::<L, u16, LINES>(
                lines.map(Line::all_rows),
                woven.map(<*mut u16>::cast_const),
                vectors,
                shape,
            );
        }
        for plane in 0..MIXED {
            let at = plane * shape.outputs * shape.pitch;
            let woven = woven.map(|woven| woven.add(at).cast_const());
            accumulate_rows::<L, u16, LINES>(lines.map(|line| line.rows(plane)), woven, vectors, shape);
        }
    }
}
