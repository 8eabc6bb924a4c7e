//! Where a thread keeps what a pass by tiles works with.

use super::block::{slots, Block};
use super::{EDGE, TILE};
use crate::plan::Plan;
use crate::request::TRAIN;
use crate::runs::Runs;

/// Planes of the ring: three that are read, and one that is filled meanwhile.
pub const PLANES: usize = 4;

/// Voxels along k of a tile.
pub const DEEP: usize = 2 * EDGE;

/// Bytes of a run's lines, of all planes: half of the second-level cache of the CPUs that have tiles.
const RUN_BYTES: usize = 1 << 20;
/// Lines of a run: each costs two more that are read, so few are dear; beyond, they save little.
const LEAST_LINES: usize = 12;
const MOST_LINES: usize = 30;

#[derive(Clone, Copy, PartialEq)]
pub enum Direction {
    Forward,
    /// A convolution of gradients and the gradient by the weights; of the first block the latter alone.
    Backward,
}

/// What a pass over a block reads and makes, and the offsets of it in a thread's memory, in bytes.
#[derive(Clone, Copy)]
pub struct Layout {
    pub runs: Runs,
    /// Of the convolution.
    pub block: Block,
    /// Channels of the ring.
    pub channels: usize,
    /// Channels of the rows that the ring's are multiplied by, for the gradient by the weights.
    pub others: usize,
    /// Whether there is a convolution, and a gradient by the weights.
    pub convolves: bool,
    pub multiplies: bool,
    /// Lines of a plane in the ring.
    pub lines: usize,
    /// Vectors from a neighbour along x to the next: the dilation; or the width, at which there is none either.
    pub apart: usize,
    /// Words from one of the ring's rows to the next, an odd number of cache lines, so that rows do not compete for the same cache
    /// sets.
    pub word_pitch: usize,
    pub half_pitch: usize,
    pub pair_pitch: usize,
    /// Tiles along k of a row, for the gradient by the weights.
    pub steps: usize,
    /// (4 planes, word_rows, word_pitch) words of two channels, as vectors of 16: those of a tensor's row, and `apart` more on
    /// either side.
    pub words: usize,
    /// (4 planes, lines, channels, half_pitch) words of two vectors, half a row apart.
    pub halves: usize,
    /// (others, pair_pitch) words as those of `halves`, of a line, and on either side as in `words`.
    pub pairs: usize,
    /// (lines of a block, steps * 16, ns * 16) words: those, one of each channel at each of three places.
    pub woven: usize,
    /// (3 kz, ms, ns) tiles of floats: sums of products, of one plane.
    pub sums: usize,
    /// (3 kz, ms, ns) tiles of doubles: those of all planes.
    pub totals: usize,
    /// (2, ms * 16, pitch) floats: what two blocks give.
    pub results: usize,
    /// A row of an image.
    pub row: usize,
    pub size: usize,
}

impl Layout {
    pub fn new(plan: &Plan, block: usize, direction: Direction) -> Self {
        let (dilation, pitch) = (plan.dilation(block), plan.pitch);
        let (channels, others, outputs) = match direction {
            Direction::Forward => (plan.inputs(block), 0, plan.channels()),
            // The ring holds gradients, and what meets them are inputs; of the first block it is the other way round.
            Direction::Backward if block > 0 => (plan.channels(), plan.channels(), plan.channels()),
            Direction::Backward => (1, plan.channels(), plan.channels()),
        };
        let (convolves, multiplies) = (direction == Direction::Forward || block > 0, direction == Direction::Backward);
        let apart = dilation.min(plan.width());
        let pitch_of = |vectors: usize| (vectors | 1) * EDGE;
        let (word_pitch, half_pitch) = (pitch_of(pitch / EDGE + 2 * apart), pitch_of(pitch / DEEP));
        let pair_pitch = pitch_of(pitch / DEEP + 2 * apart);
        let shape = Block::new(channels, outputs);
        let steps = pitch / DEEP;
        let mut layout = Self {
            runs: Runs { height: plan.height(), dilation, block: if convolves { shape.lines } else { 1 }, most: 0 },
            block: shape,
            channels,
            others,
            convolves,
            multiplies,
            lines: 0,
            apart,
            word_pitch,
            half_pitch,
            pair_pitch,
            steps,
            words: 0,
            halves: 0,
            pairs: 0,
            woven: 0,
            sums: 0,
            totals: 0,
            results: 0,
            row: 0,
            size: 0,
        };
        let word_line = if convolves { 4 * slots(channels) * word_pitch } else { 0 };
        let half_line = if multiplies { 4 * channels * half_pitch } else { 0 };
        let woven_line = if multiplies { 4 * steps * EDGE * layout.across() } else { 0 };
        let bytes_a_line = PLANES * (word_line + half_line);
        let lines_of_class = plan.height().div_ceil(dilation);
        layout.runs.most = (RUN_BYTES / bytes_a_line).clamp(LEAST_LINES, MOST_LINES).min(lines_of_class);
        // A run ends with a whole block, whether its lines are there or not.
        layout.lines = layout.runs.most.next_multiple_of(layout.runs.block) + 2;
        let sum_tiles = if multiplies { 3 * layout.sum_rows() * layout.across() / EDGE } else { 0 };
        let mut size = 0;
        let mut take = |bytes: usize| {
            let offset = size;
            size += bytes.next_multiple_of(64);
            offset
        };
        let words = take(if convolves { 4 * PLANES * layout.word_rows() * word_pitch } else { 0 });
        // The last tile of A reads up to 16 rows beyond the ring.
        let halves = take((PLANES * layout.lines * half_line) + if multiplies { 4 * EDGE * half_pitch } else { 0 });
        let pairs = take(if multiplies { 4 * others * pair_pitch } else { 0 });
        let woven = take(layout.runs.block * woven_line);
        let sums = take(4 * TILE * sum_tiles);
        let totals = take(8 * TILE * sum_tiles);
        let results = take(if convolves { 2 * 4 * shape.ms * EDGE * pitch } else { 0 });
        let row = take(4 * pitch);
        Self { words, halves, pairs, woven, sums, totals, results, row, size, ..layout }
    }

    /// The largest of a plan's.
    pub fn most_bytes(plan: &Plan) -> usize {
        let of = |direction| (0..plan.blocks()).map(|block| Self::new(plan, block, direction).size).max().unwrap_or(0);
        of(Direction::Forward).max(if plan.request.mode == TRAIN { of(Direction::Backward) } else { 0 })
    }

    /// Rows of words of a plane: those that its lines are read with besides, with weights of zero, follow them.
    pub fn word_rows(&self) -> usize {
        self.lines * slots(self.channels) + self.block.spare_rows()
    }

    /// Words before vector 0 of a row of `words` and of `pairs`.
    pub fn padding(&self) -> usize {
        self.apart * EDGE
    }

    /// Tiles along m of the gradient by the weights: the ring's channels of three lines.
    pub fn sum_rows(&self) -> usize {
        (3 * self.channels).div_ceil(EDGE)
    }

    /// Words of a row of B of the gradient by the weights: the other channels at three places, in whole tiles.
    pub fn across(&self) -> usize {
        (3 * self.others).next_multiple_of(EDGE)
    }
}
