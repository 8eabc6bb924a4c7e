//! A few lines of a convolution as a product of matrices.
//!
//! The lines of a plane lie by residue class of the dilation, so that a tap's neighbours are neighbours in memory; a block is a few
//! consecutive lines of a class. What it reads, its lines and one more on either side, are the rows of B: a row holds two channels
//! of a line, 16 voxels along x. What it gives, all channels of its lines, are the rows of C. A holds the weights of one (kz, kx), each
//! output line's band of them shifted by a line: a Toeplitz matrix.

use super::{EDGE, TILE};
use crate::bf16::narrow;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub inputs: usize,
    pub outputs: usize,
    /// Lines of the output.
    pub lines: usize,
    /// Tiles along k, what a block reads, and along m, what it gives.
    pub ks: usize,
    pub ms: usize,
}

impl Block {
    /// With as many lines as take the fewest tile products a line.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let of = |lines: usize| {
            let (ks, ms) = (((lines + 2) * slots(inputs)).div_ceil(EDGE), (lines * outputs).div_ceil(EDGE));
            Self { inputs, outputs, lines, ks, ms }
        };
        let mut best = of(1);
        for lines in 2..=EDGE {
            let block = of(lines);
            if block.ks * block.ms * best.lines < best.ks * best.ms * lines {
                best = block;
            }
        }
        best
    }

    /// Rows of B that meet weights of zero alone.
    pub fn spare_rows(&self) -> usize {
        self.ks * EDGE - (self.lines + 2) * slots(self.inputs)
    }

    /// Words of the weights: (3 kz, 3 kx, ms, ks) tiles.
    pub fn words(&self) -> usize {
        9 * self.tap_words()
    }

    /// Words of the weights of one (kz, kx).
    pub fn tap_words(&self) -> usize {
        self.ms * self.ks * TILE
    }

    /// to = A of the weights (Co, Ci, 3, 3, 3): as `crate::conv::pack`.
    /// # Safety
    /// `from` holds 27 * outputs * inputs floats, `to` `words`.
    pub unsafe fn pack(&self, from: *const f32, to: *mut f32, backward: bool) {
        let Self { inputs, outputs, lines, ks, ms } = *self;
        let weight = |kz: usize, kx: usize, m: usize, k: usize, odd: usize| {
            let (line, output) = (m / outputs, m % outputs);
            let (from_line, input) = (k / slots(inputs), k % slots(inputs) * 2 + odd);
            if line >= lines || input >= inputs || !(line..line + 3).contains(&from_line) {
                return 0;
            }
            let tap = (kz * 3 + from_line - line) * 3 + kx;
            narrow(*from.add(match backward {
                true => (input * outputs + output) * 27 + 26 - tap,
                false => (output * inputs + input) * 27 + tap,
            }))
        };
        let mut next = to.cast::<u32>();
        for (kz, kx) in (0..9).map(|tap| (tap / 3, tap % 3)) {
            for (tile_m, tile_k) in (0..ms * ks).map(|tile| (tile / ks, tile % ks)) {
                for (m, k) in (0..TILE).map(|word| (tile_m * EDGE + word / EDGE, tile_k * EDGE + word % EDGE)) {
                    *next = u32::from(weight(kz, kx, m, k, 1)) << 16 | u32::from(weight(kz, kx, m, k, 0));
                    next = next.add(1);
                }
            }
        }
    }
}

/// Words of a voxel: two channels each.
pub fn slots(channels: usize) -> usize {
    channels.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_of_five_channels_fill_a_tile() {
        assert_eq!(Block::new(5, 5), Block { inputs: 5, outputs: 5, lines: 3, ks: 1, ms: 1 });
        assert_eq!(Block::new(1, 5), Block { inputs: 1, outputs: 5, lines: 3, ks: 1, ms: 1 });
        for (inputs, outputs) in [(1, 1), (15, 15), (21, 21), (30, 30), (64, 64), (64, 1)] {
            let block = Block::new(inputs, outputs);
            assert!(block.lines * outputs <= block.ms * EDGE && (block.lines + 2) * slots(inputs) <= block.ks * EDGE);
        }
    }

    #[test]
    fn a_product_of_the_matrices_is_the_convolution_of_a_column() {
        // Small whole numbers: no sum is rounded.
        let (inputs, outputs) = (3, 4);
        let weights: Vec<f32> = (0..27 * inputs * outputs).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let value = |kz: usize, line: usize, kx: usize, input: usize| ((kz * 5 + line * 3 + kx * 2 + input) % 7) as f32 - 3.0;
        for backward in [false, true] {
            let block = Block::new(inputs, outputs);
            let mut packed = vec![0.0f32; block.words()];
            unsafe { block.pack(weights.as_ptr(), packed.as_mut_ptr(), backward) };
            for (line, output) in (0..block.lines * outputs).map(|m| (m / outputs, m % outputs)) {
                let (mut found, mut expected) = (0.0, 0.0);
                for (kz, kx) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                    let m = line * outputs + output;
                    for k in 0..(block.lines + 2) * slots(inputs) {
                        let tile = (m / EDGE) * block.ks + k / EDGE;
                        let word = packed[(kz * 3 + kx) * block.tap_words() + tile * TILE + m % EDGE * EDGE + k % EDGE].to_bits();
                        for (odd, half) in [word as u16, (word >> 16) as u16].into_iter().enumerate() {
                            let input = k % slots(inputs) * 2 + odd;
                            found += crate::bf16::widen(half) * value(kz, k / slots(inputs), kx, input);
                        }
                    }
                    for (ky, input) in (0..3 * inputs).map(|i| (i / inputs, i % inputs)) {
                        let tap = (kz * 3 + ky) * 3 + kx;
                        let at = if backward {
                            (input * outputs + output) * 27 + 26 - tap
                        } else {
                            (output * inputs + input) * 27 + tap
                        };
                        expected += weights[at] * value(kz, line + ky, kx, input);
                    }
                }
                assert_eq!(found, expected, "line {line}, output {output}, backward {backward}");
            }
        }
    }
}
