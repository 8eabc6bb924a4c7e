//! A row of a convolution as a product of matrices.
//!
//! The voxels of a row lie by residue class of the dilation, so that a tap's neighbours are neighbours in memory, each with its
//! channels beside each other. A block is a few consecutive outputs of a class; a row of A is what one block reads (the outputs'
//! voxels and one more on either side, all channels), a row of C the block's outputs, all channels. B holds the weights of one (kz, ky),
//! each output's band of them shifted by a voxel: a Toeplitz matrix. Classes follow each other with a zero voxel between them.

use super::{EDGE, TILE};
use crate::bf16::narrow;

#[derive(Clone, Copy)]
pub struct Block {
    pub inputs: usize,
    pub outputs: usize,
    /// Outputs of a block.
    pub length: usize,
    /// Tiles along k, what a block reads, and along n, what it gives.
    pub ks: usize,
    pub ns: usize,
}

impl Block {
    /// The length that takes the fewest tile products an output.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let of = |length: usize| {
            let (ks, ns) = (((length + 2) * inputs).div_ceil(2 * EDGE), (length * outputs).div_ceil(EDGE));
            Self { inputs, outputs, length, ks, ns }
        };
        let mut best = of(1);
        for length in 2..=EDGE {
            let block = of(length);
            if block.ks * block.ns * best.length < best.ks * best.ns * length {
                best = block;
            }
        }
        best
    }

    /// Words of the weights: (9, ns, ks) tiles.
    pub fn words(&self) -> usize {
        9 * self.ns * self.ks * TILE
    }

    /// Where the blocks of a residue class begin, for classes 0..=classes; the last is how many there are.
    fn blocks_before(&self, class: usize, width: usize, dilation: usize) -> usize {
        // Classes of the first kind have one voxel more than those of the second.
        let (long, short) = (width % dilation, width / dilation);
        let (of_long, of_short) = ((short + 2).div_ceil(self.length), (short + 1).div_ceil(self.length));
        class.min(long) * of_long + class.saturating_sub(long) * of_short
    }

    /// Tiles along m: blocks of a row, sixteen a tile.
    pub fn ms(&self, width: usize, dilation: usize) -> usize {
        self.blocks_before(dilation.min(width), width, dilation).div_ceil(EDGE)
    }

    /// bf16 of a row, with what the last tile reads beyond its blocks.
    pub fn row(&self, width: usize, dilation: usize) -> usize {
        ((self.ms(width, dilation) * EDGE - 1) * self.length * self.inputs + 2 * EDGE * self.ks).next_multiple_of(2 * EDGE)
    }

    /// Every residue class: the first block's number, the first voxel's x, and how many voxels there are.
    pub fn each_class(&self, width: usize, dilation: usize, mut each: impl FnMut(usize, usize, usize)) {
        for class in 0..dilation.min(width) {
            each(self.blocks_before(class, width, dilation), class, (width - class).div_ceil(dilation));
        }
    }

    /// to = B of the weights (Co, Ci, 3, 3, 3): as `crate::conv::pack`.
    /// # Safety
    /// `from` holds 27 * outputs * inputs floats, `to` `words`.
    pub unsafe fn pack(&self, from: *const f32, to: *mut f32, backward: bool) {
        let Self { inputs, outputs, length, ks, ns } = *self;
        let weight = |index: usize, k: usize, n: usize| {
            let (voxel, input, place, output) = (k / inputs, k % inputs, n / outputs, n % outputs);
            if place >= length || !(place..place + 3).contains(&voxel) {
                return 0;
            }
            let tap = index * 3 + voxel - place;
            narrow(*from.add(match backward {
                true => (input * outputs + output) * 27 + 26 - tap,
                false => (output * inputs + input) * 27 + tap,
            }))
        };
        let mut next = to.cast::<u32>();
        for index in 0..9 {
            for tile_n in 0..ns {
                for tile_k in 0..ks {
                    for k in 0..EDGE {
                        for n in 0..EDGE {
                            let half = |odd: usize| weight(index, 2 * (tile_k * EDGE + k) + odd, tile_n * EDGE + n);
                            *next = u32::from(half(1)) << 16 | u32::from(half(0));
                            next = next.add(1);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_has_a_place_of_its_own_and_zeros_between_classes() {
        for (width, dilation) in [(1, 1), (7, 2), (37, 5), (48, 16), (5, 64), (256, 16)] {
            let block = Block::new(5, 5);
            assert_eq!((block.length, block.ks, block.ns), (3, 1, 1));
            let mut places = vec![None; block.row(width, dilation) / block.inputs];
            block.each_class(width, dilation, |first, x, voxels| {
                for i in 0..voxels {
                    let place = &mut places[first * block.length + 1 + i];
                    assert_eq!(*place, None);
                    *place = Some(x + i * dilation);
                }
                assert!(first + voxels.div_ceil(block.length) <= block.ms(width, dilation) * EDGE);
            });
            assert_eq!(places.iter().flatten().count(), width);
            for at in 1..places.len() {
                if let Some(x) = places[at] {
                    assert_eq!(places[at - 1], x.checked_sub(dilation), "what lies before is the tap's neighbour, or zero");
                    assert_eq!(places[at + 1], Some(x + dilation).filter(|&x| x < width), "and so what lies behind");
                }
            }
        }
    }
}
