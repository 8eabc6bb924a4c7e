//! Work of a pass where planes are cut too: a few planes of a chain, and a run of their lines.

use crate::items::{Cut, Item};
use crate::runs::{Run, Runs};

#[derive(Clone, Copy)]
pub struct Piece {
    pub item: Item,
    pub run: Run,
    pub dilation: usize,
}

impl Piece {
    /// z of a link of the chain.
    pub fn z(&self, link: usize) -> usize {
        self.item.residue + link * self.dilation
    }

    /// y of a line of the run.
    pub fn y(&self, line: usize) -> usize {
        self.run.residue + (self.run.first + line) * self.dilation
    }

    /// Lines of the run.
    pub fn lines(&self) -> usize {
        self.run.end - self.run.first
    }

    /// Planes that one of the item's is convolved with.
    pub fn taps(&self, link: usize) -> usize {
        (link + 2).min(self.item.links) - link.saturating_sub(1)
    }
}

/// The pieces of a volume.
#[derive(Clone, Copy)]
pub struct Pieces {
    pub chains: Cut,
    pub runs: Runs,
}

impl Pieces {
    pub fn count(&self) -> usize {
        self.chains.items() * self.runs.count()
    }

    /// Of all volumes, those of a volume one after the other.
    pub fn piece(&self, index: usize) -> Piece {
        let runs = self.runs.count();
        Piece { item: self.chains.item(index / runs), run: self.runs.run(index % runs), dilation: self.runs.dilation }
    }
}
