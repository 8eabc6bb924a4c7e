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

/// Chains, cut into items of so many links.
pub struct Cut {
    pub depth: usize,
    pub dilation: usize,
    pub links: usize,
}

impl Cut {
    fn chain(&self, residue: usize) -> usize {
        (self.depth - residue).div_ceil(self.dilation)
    }

    /// Of a volume.
    pub fn items(&self) -> usize {
        (0..self.dilation.min(self.depth)).map(|residue| self.chain(residue).div_ceil(self.links)).sum()
    }

    pub fn item(&self, index: usize) -> Item {
        let each = self.items();
        let (volume, mut index) = (index / each, index % each);
        let mut residue = 0;
        loop {
            let links = self.chain(residue);
            let pieces = links.div_ceil(self.links);
            if index < pieces {
                let first = index * self.links;
                return Item { volume, residue, first, end: (first + self.links).min(links), links };
            }
            index -= pieces;
            residue += 1;
        }
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
