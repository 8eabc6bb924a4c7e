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
