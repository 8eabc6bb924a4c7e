//! How planes are cut for convolutions by tiles: a line at y meets only lines y - r and y + r, so those of one residue class of the
//! dilation r are neighbours, and a run is a few of them. What a run reads of three planes fits the second-level cache.

use crate::items::Classes;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// y of the class's first line; its i-th line is at y = residue + i * dilation.
    pub residue: usize,
    pub first: usize,
    pub end: usize,
    /// Lines of the whole class.
    pub lines: usize,
}

/// The cut of a plane into runs of at most `most` lines, whole blocks of `block` lines each but at the end of a class.
#[derive(Clone, Copy)]
pub struct Runs {
    pub height: usize,
    pub dilation: usize,
    pub block: usize,
    pub most: usize,
}

impl Runs {
    fn classes(&self) -> Classes {
        Classes { length: self.height, dilation: self.dilation }
    }

    /// Runs of a class.
    fn pieces(&self, lines: usize) -> usize {
        lines.div_ceil(self.block).div_ceil((self.most / self.block).max(1))
    }

    /// Runs of a plane.
    pub fn count(&self) -> usize {
        self.classes().count(|lines| self.pieces(lines))
    }

    pub fn run(&self, index: usize) -> Run {
        let (residue, lines, piece) = self.classes().find(index, |lines| self.pieces(lines));
        let (blocks, pieces) = (lines.div_ceil(self.block), self.pieces(lines));
        let line = |piece: usize| (piece * blocks / pieces * self.block).min(lines);
        Run { residue, first: line(piece), end: line(piece + 1), lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_plane_is_in_exactly_one_run() {
        for height in [1, 2, 7, 16, 37, 64, 256] {
            for dilation in [1, 2, 3, 16, 64] {
                for (block, most) in [(1, 1), (3, 3), (3, 30), (4, 30), (16, 4)] {
                    let runs = Runs { height, dilation, block, most };
                    let mut seen = vec![0; height];
                    for index in 0..runs.count() {
                        let run = runs.run(index);
                        assert!(run.first < run.end && run.end - run.first <= most.max(block), "{run:?}");
                        assert!(run.end == run.lines || (run.end - run.first) % block == 0, "{run:?}");
                        (run.first..run.end).for_each(|i| seen[run.residue + i * dilation] += 1);
                        assert!(run.residue + run.lines * dilation >= height);
                    }
                    assert!(seen.iter().all(|&n| n == 1), "height {height}, dilation {dilation}, block {block}, most {most}");
                }
            }
        }
    }
}
