//! How a convolution's planes are cut into work. A plane at z meets only planes z - r and z + r, so planes of one residue modulo
//! the dilation r form a chain; an item is a few consecutive links of one chain in one volume.

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    pub volume: usize,
    /// z of the chain's first plane; the chain's j-th plane is at z = residue + j * dilation.
    pub residue: usize,
    pub first: usize,
    pub end: usize,
    /// Links of the whole chain.
    pub links: usize,
}

/// Planes an item: many enough that filling the two neighbours at its ends costs little, few enough that every thread has work.
fn links_per_item(depth: usize) -> usize {
    match depth {
        0..128 => 4,
        128..256 => 8,
        _ => 16,
    }
}

pub fn items_per_volume(depth: usize, dilation: usize) -> usize {
    Cut { depth, dilation, links: links_per_item(depth) }.items()
}

pub fn item(depth: usize, dilation: usize, index: usize) -> Item {
    Cut { depth, dilation, links: links_per_item(depth) }.item(index)
}

/// The numbers below `length` by their residue class modulo the dilation, each class cut into pieces.
#[derive(Clone, Copy)]
pub struct Classes {
    pub length: usize,
    pub dilation: usize,
}

impl Classes {
    /// How many numbers are in a class.
    fn class(&self, residue: usize) -> usize {
        (self.length - residue).div_ceil(self.dilation)
    }

    /// Pieces of all classes; `pieces(n)` is how many one of n numbers has.
    pub fn count(&self, pieces: impl Fn(usize) -> usize) -> usize {
        (0..self.dilation.min(self.length)).map(|residue| pieces(self.class(residue))).sum()
    }

    /// Of a piece: the residue of its class, how many numbers are in that, and which of its pieces it is.
    pub fn find(&self, mut index: usize, pieces: impl Fn(usize) -> usize) -> (usize, usize, usize) {
        let mut residue = 0;
        loop {
            let numbers = self.class(residue);
            if index < pieces(numbers) {
                return (residue, numbers, index);
            }
            index -= pieces(numbers);
            residue += 1;
        }
    }
}

/// Chains, cut into items of so many links.
#[derive(Clone, Copy)]
pub struct Cut {
    pub depth: usize,
    pub dilation: usize,
    pub links: usize,
}

impl Cut {
    fn classes(&self) -> Classes {
        Classes { length: self.depth, dilation: self.dilation }
    }

    /// Of a volume.
    pub fn items(&self) -> usize {
        self.classes().count(|links| links.div_ceil(self.links))
    }

    pub fn item(&self, index: usize) -> Item {
        let each = self.items();
        let (volume, index) = (index / each, index % each);
        let (residue, links, piece) = self.classes().find(index, |links| links.div_ceil(self.links));
        let first = piece * self.links;
        Item { volume, residue, first, end: (first + self.links).min(links), links }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plane_of_every_volume_is_in_exactly_one_item() {
        for depth in [1, 2, 7, 20, 64, 131] {
            for dilation in [1, 2, 3, 16, 64] {
                let mut seen = vec![0; 2 * depth];
                for index in 0..2 * items_per_volume(depth, dilation) {
                    let item = item(depth, dilation, index);
                    for j in item.first..item.end {
                        seen[item.volume * depth + item.residue + j * dilation] += 1;
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "depth {depth}, dilation {dilation}");
            }
        }
    }
}
