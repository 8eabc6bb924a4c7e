//! Where the voxels of a row lie in a tensor: one after the other; or, for tiles, in vectors of sixteen, lane l of vector v being voxel
//! v + s l of s vectors. Then a voxel's neighbours lie whole vectors away, but for the first and the last vectors'.

use crate::bf16::tiles::EDGE;
use crate::element::Products;
use crate::plan::Plan;

impl Plan {
    /// Calls `each(x, place)` for voxels of a row, those beyond its width included.
    #[inline(always)]
    pub fn places(&self, voxels: core::ops::Range<usize>, mut each: impl FnMut(usize, usize)) {
        if self.products != Products::Tiles {
            return voxels.for_each(|x| each(x, x));
        }
        let vectors = self.pitch / EDGE;
        let (mut lane, mut vector) = (voxels.start / vectors, voxels.start % vectors);
        for x in voxels {
            each(x, vector * EDGE + lane);
            vector += 1;
            if vector == vectors {
                (lane, vector) = (lane + 1, 0);
            }
        }
    }

    /// Sets a row to zero beyond the width.
    /// # Safety
    /// It holds `pitch` floats.
    #[inline(always)]
    pub unsafe fn clear_beyond(&self, row: *mut f32) {
        self.places(self.width()..self.pitch, |_, place| *row.add(place) = 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::tiles::Twin;
    use crate::element::{Bf16, ByTiles, Element};
    use crate::isa::portable::Portable;
    use crate::request::Request;

    fn places<E: Element>(width: u32) -> (Vec<usize>, usize) {
        let plan = Plan::new::<Portable, E>(&Request { width, ..Request::EMPTY }, 0);
        let mut places = vec![];
        plan.places(0..plan.pitch, |x, place| {
            assert_eq!(x, places.len());
            places.push(place);
        });
        (places, plan.pitch / EDGE)
    }

    #[test]
    fn every_voxel_has_a_place_and_for_tiles_its_neighbour_lies_a_vector_further_or_a_lane() {
        for width in [1, 5, 32, 37, 250, 256] {
            assert!(places::<f32>(width).0.into_iter().eq(0..places::<f32>(width).0.len()));
            let (of, vectors) = places::<Bf16<ByTiles<Twin>>>(width);
            let mut sorted = of.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..of.len()));
            for x in 1..of.len() {
                let expected = if x % vectors == 0 { of[x - 1] + 1 - (vectors - 1) * EDGE } else { of[x - 1] + EDGE };
                assert_eq!(of[x], expected, "voxel {x} of {width}");
            }
        }
    }
}
