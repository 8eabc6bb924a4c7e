//! Which tensor holds what, and when: outputs that are kept, outputs that are computed again, gradients.

use crate::plan::Plan;
use crate::request::TRAIN;

impl Plan {
    /// The blocks whose outputs are kept, a bit each.
    fn kept(&self) -> u64 {
        let r = &self.request;
        u64::from(r.kept_low) | u64::from(r.kept_high) << 32 | 1 << (r.blocks - 1)
    }

    /// The first and the last block of the segment that a block belongs to; the output of the last one is kept.
    pub fn segment(&self, block: usize) -> (usize, usize) {
        let kept = self.kept();
        let before = kept & ((1 << block) - 1);
        (64 - before.leading_zeros() as usize, block + (kept >> block).trailing_zeros() as usize)
    }

    /// Which tensor holds a block's output. What a segment's way back computes again lies in the tensors of later segments, whose way
    /// back is done.
    pub fn slot(&self, block: usize) -> usize {
        if self.request.mode != TRAIN {
            return block % 2;
        }
        let segment = (self.kept() & ((1 << block) - 1)).count_ones() as usize;
        let (first, last) = self.segment(block);
        if block == last {
            segment
        } else {
            segment + 1 + block - first
        }
    }

    fn keeps_all(&self) -> bool {
        (!self.kept()).trailing_zeros() as usize >= self.blocks()
    }

    /// Whether the gradient by the output of a block's convolution takes that output's place before the block is gone through, in a
    /// pass of its own. So it is for the last block: then there is a tensor free for the gradient that comes out. Where outputs
    /// are computed again to save memory, it is so for all: a second tensor would be missing. Tensors of bf16 are small, and
    /// rounding the gradient once more would make the result depend on the plan: they have that second tensor.
    pub fn settles(&self, block: usize) -> bool {
        block > 0 && (block + 1 == self.blocks() || self.shares_gradient())
    }

    /// Whether one tensor serves for the gradients by all blocks.
    fn shares_gradient(&self) -> bool {
        !self.keeps_all() && self.element == size_of::<f32>()
    }

    /// Tensors for gradients, beside those for outputs.
    pub(crate) fn gradient_tensors(&self) -> usize {
        1 + usize::from(!self.keeps_all() && !self.shares_gradient())
    }

    /// Which tensor holds the gradient by a block's normalised values: one of its own, or, in turns, a second one; where all outputs
    /// are kept that is the last block's, once it has been gone through.
    pub fn gradient_slot(&self, block: usize) -> usize {
        let last = self.blocks() - 1;
        if self.shares_gradient() || block == last || (last - block) % 2 == 1 {
            self.tensors - 1
        } else if self.keeps_all() {
            self.slot(last)
        } else {
            self.tensors - 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::tiles::Twin;
    use crate::element::{Bf16, ByDots, ByFloats, ByTiles, Element};
    use crate::isa::portable::Portable;
    use crate::request::Request;

    /// What a tensor holds of a block.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Held {
        Nothing,
        Output(usize),
        /// The gradient by the output, in its place.
        Settled(usize),
        /// The gradient by the normalised output.
        Slope(usize),
    }
    use Held::*;

    struct Tensors {
        held: Vec<Held>,
        plan: Plan,
    }

    impl Tensors {
        fn holds(&self, slot: usize, what: Held) {
            assert_eq!(self.held[slot], what, "kept {:b} of {}", self.plan.kept(), self.plan.blocks());
        }
        fn convolve(&mut self, block: usize) {
            if block > 0 {
                self.holds(self.plan.slot(block - 1), Output(block - 1));
                assert_ne!(self.plan.slot(block), self.plan.slot(block - 1));
            }
            self.held[self.plan.slot(block)] = Output(block);
        }
        fn back(&mut self, block: usize) {
            let (slot, slope) = (self.plan.slot(block), self.plan.gradient_slot(block));
            self.holds(slot, Output(block));
            self.holds(slope, Slope(block));
            if block == 0 {
                return;
            }
            let mut read = vec![slot, self.plan.slot(block - 1)];
            if self.plan.settles(block) {
                self.held[slot] = Settled(block);
            } else {
                read.push(slope);
            }
            self.holds(self.plan.slot(block - 1), Output(block - 1));
            // Lines of these are read after others have been written.
            let to = self.plan.gradient_slot(block - 1);
            assert!(!read.contains(&to), "block {block} writes what it reads, kept {:b}", self.plan.kept());
            self.held[to] = Slope(block - 1);
        }
    }

    /// A step as `Program` goes through it, for every choice of kept blocks.
    fn step_finds_what_it_reads<E: Element>() {
        for blocks in 1..=9u32 {
            for kept in 0..1 << (blocks - 1) {
                let request = Request { mode: TRAIN, blocks, kept_low: kept, kept_high: 0, ..Request::EMPTY };
                let plan = Plan::new::<Portable, E>(&request, 0);
                let mut tensors = Tensors { held: vec![Nothing; plan.tensors], plan };
                let blocks = plan.blocks();
                (0..blocks).for_each(|block| tensors.convolve(block));
                tensors.holds(plan.slot(blocks - 1), Output(blocks - 1));
                assert_ne!(plan.gradient_slot(blocks - 1), plan.slot(blocks - 1));
                tensors.held[plan.gradient_slot(blocks - 1)] = Slope(blocks - 1);
                for block in (0..blocks).rev() {
                    let (first, last) = plan.segment(block);
                    if block == last && block + 1 < blocks {
                        (first..last).for_each(|again| tensors.convolve(again));
                    }
                    tensors.back(block);
                }
            }
        }
    }

    #[test]
    fn whatever_is_kept_a_step_finds_every_tensor_that_it_reads() {
        step_finds_what_it_reads::<f32>();
        step_finds_what_it_reads::<Bf16<ByFloats>>();
        step_finds_what_it_reads::<Bf16<ByDots>>();
        step_finds_what_it_reads::<Bf16<ByTiles<Twin>>>();
    }
}
