//! Convolutions by a unit that multiplies tiles of bf16, as AMX has one. Everything but the unit itself is the same for the unit
//! and for its twin in software.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;
pub(crate) mod block;
pub(crate) mod convolve;
pub(crate) mod layout;
pub(crate) mod meanwhile;
pub(crate) mod passes;
pub(crate) mod ring;
pub(crate) mod weight_gradient;

use crate::bf16::{flushed, multiply_add, narrow};

/// Rows of a tile, and words of a row: floats, or two bf16 each.
pub const EDGE: usize = 16;
pub const TILE: usize = EDGE * EDGE;

/// Eight tiles of 16 rows of 64 bytes. A is (16, 32) bf16; B is (32, 16) bf16, its rows 2k and 2k + 1 interleaved; C is (16, 16)
/// floats.
pub trait Tiles {
    /// Takes the unit into use in this thread.
    /// # Safety
    /// The machine has the unit.
    unsafe fn begin() -> Self;
    /// Gives it up; tiles are lost.
    /// # Safety
    /// As `begin`.
    unsafe fn end(&mut self);
    /// # Safety
    /// As `begin`; T is below 8, here and in what follows.
    unsafe fn zero<const T: usize>(&mut self);
    /// # Safety
    /// 16 rows of 64 readable bytes, `stride` bytes apart.
    unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize);
    /// # Safety
    /// 16 rows of 64 writable bytes, `stride` bytes apart.
    unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize);
    /// C += A * B.
    /// # Safety
    /// As `zero`; three different tiles.
    unsafe fn dot<const C: usize, const A: usize, const B: usize>(&mut self);
}

/// The unit in software, to the bit: as Intel's manual (Instruction Set Reference, TDPBF16PS) defines it, for a row of A and a column of
/// B the products of even and of odd k are summed apart, each addition fused and rounded to nearest, subnormal numbers counting as zero
/// in and out; then the two are added, and the result to C.
#[derive(Clone, Copy)]
pub struct Twin([[u32; TILE]; 8]);

impl Tiles for Twin {
    unsafe fn begin() -> Self {
        Self([[0; TILE]; 8])
    }
    unsafe fn end(&mut self) {}
    unsafe fn zero<const T: usize>(&mut self) {
        self.0[T] = [0; TILE];
    }
    unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize) {
        for (m, row) in self.0[T].chunks_exact_mut(EDGE).enumerate() {
            let from = from.add(m * stride).cast::<u32>();
            for (n, word) in row.iter_mut().enumerate() {
                *word = from.add(n).read_unaligned();
            }
        }
    }
    unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize) {
        for (m, row) in self.0[T].chunks_exact(EDGE).enumerate() {
            let to = to.add(m * stride).cast::<u32>();
            for (n, word) in row.iter().enumerate() {
                to.add(n).write_unaligned(*word);
            }
        }
    }
    unsafe fn dot<const C: usize, const A: usize, const B: usize>(&mut self) {
        let (lower, upper) = (|word: u32| f32::from_bits(word << 16), |word: u32| f32::from_bits(word & 0xffff_0000));
        for m in 0..EDGE {
            for n in 0..EDGE {
                let (mut even, mut odd) = (0.0f32, 0.0f32);
                for k in 0..EDGE {
                    let (a, b) = (self.0[A][m * EDGE + k], self.0[B][k * EDGE + n]);
                    even = multiply_add(lower(a), lower(b), even);
                    odd = multiply_add(upper(a), upper(b), odd);
                }
                let c = &mut self.0[C][m * EDGE + n];
                *c = flushed(flushed(f32::from_bits(*c)) + flushed(even + odd)).to_bits();
            }
        }
    }
}

/// Whether a unit multiplies as `Tiles` says: small whole numbers, whose sums are exact in any order. What computes otherwise is not used.
/// # Safety
/// The machine has the unit.
pub unsafe fn multiplies<T: Tiles>() -> bool {
    // Rows of A lie further apart than they are long.
    const A_ROW: usize = 48;
    let a = |m: usize, k: usize| ((m * 7 + k * 3) % 11) as f32 - 5.0;
    let b = |k: usize, n: usize| ((k * 5 + n * 13) % 9) as f32 - 4.0;
    let c = |m: usize, n: usize| (m * EDGE + n) as f32;
    let (mut tile_a, mut tile_b, mut tile_c) = ([0u16; A_ROW * EDGE], [0u16; 2 * TILE], [0.0f32; TILE]);
    for m in 0..EDGE {
        for k in 0..2 * EDGE {
            tile_a[m * A_ROW + k] = narrow(a(m, k));
            tile_b[(k / 2) * 2 * EDGE + 2 * m + k % 2] = narrow(b(k, m));
        }
        for n in 0..EDGE {
            tile_c[m * EDGE + n] = c(m, n);
        }
    }
    let mut tiles = T::begin();
    tiles.zero::<3>();
    tiles.load::<1>(tile_a.as_ptr().cast(), 2 * A_ROW);
    tiles.load::<2>(tile_b.as_ptr().cast(), 64);
    tiles.load::<0>(tile_c.as_ptr().cast(), 64);
    tiles.dot::<0, 1, 2>();
    tiles.dot::<3, 1, 2>();
    let mut tile_d = [1.0f32; TILE];
    tiles.store::<0>(tile_c.as_mut_ptr().cast(), 64);
    tiles.store::<3>(tile_d.as_mut_ptr().cast(), 64);
    tiles.end();
    (0..TILE).all(|at| {
        let (m, n) = (at / EDGE, at % EDGE);
        let product: f32 = (0..2 * EDGE).map(|k| a(m, k) * b(k, n)).sum();
        tile_c[at] == c(m, n) + product && tile_d[at] == product
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The twin, with A and B the other way round.
    struct Swapped(Twin);

    impl Tiles for Swapped {
        unsafe fn begin() -> Self {
            Self(Twin::begin())
        }
        unsafe fn end(&mut self) {}
        unsafe fn zero<const T: usize>(&mut self) {
            self.0.zero::<T>();
        }
        unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize) {
            self.0.load::<T>(from, stride);
        }
        unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize) {
            self.0.store::<T>(to, stride);
        }
        unsafe fn dot<const C: usize, const A: usize, const B: usize>(&mut self) {
            self.0.dot::<C, B, A>();
        }
    }

    #[test]
    fn a_unit_that_computes_otherwise_is_found_out() {
        assert!(unsafe { multiplies::<Twin>() });
        assert!(!unsafe { multiplies::<Swapped>() });
    }

    /// C after one product of A's first row with B's first column, `a` and `b` along k.
    fn product(a: [f32; 32], b: [f32; 32], c: f32) -> f32 {
        let (mut tile_a, mut tile_b, mut tile_c) = ([0u16; 2 * TILE], [0u16; 2 * TILE], [c; TILE]);
        for k in 0..32 {
            tile_a[k] = narrow(a[k]);
            tile_b[k / 2 * 32 + k % 2] = narrow(b[k]);
        }
        unsafe {
            let mut tiles = Twin::begin();
            tiles.load::<1>(tile_a.as_ptr().cast(), 64);
            tiles.load::<2>(tile_b.as_ptr().cast(), 64);
            tiles.load::<0>(tile_c.as_ptr().cast(), 64);
            tiles.dot::<0, 1, 2>();
            tiles.store::<0>(tile_c.as_mut_ptr().cast(), 64);
            tiles.end();
        }
        assert!(tile_c[1..].iter().all(|&other| other == flushed(c)), "only row 0 and column 0 have a product");
        tile_c[0]
    }

    fn row(of: impl Fn(usize) -> f32) -> [f32; 32] {
        core::array::from_fn(of)
    }

    #[test]
    fn a_tile_product_is_the_sum_over_k() {
        assert_eq!(product(row(|k| k as f32), row(|_| 2.0), 0.5), 992.5);
    }

    #[test]
    fn even_and_odd_k_are_summed_apart_and_added_to_c_last() {
        // 2^24 takes in no 1, and two together: added one by one to C, or in the order of k, the ones would be lost.
        let ones = row(|_| 1.0);
        assert_eq!(product(ones, ones, 16_777_216.0), 16_777_248.0);
        let large = row(|k| if k == 0 { 16_777_216.0 } else { (k % 2) as f32 });
        assert_eq!(product(large, ones, 0.0), 16_777_232.0);
    }

    #[test]
    fn subnormal_numbers_are_zero_in_and_out() {
        let first = |value: f32| row(|k| if k == 0 { value } else { 0.0 });
        assert_eq!(product(first(1e-30), first(1e-10), 0.0), 0.0);
        assert_eq!(product(first(0.0), first(0.0), 1e-40), 0.0);
        assert_eq!(product(first(1.5e-38), first(1.0), 0.0), crate::bf16::widen(narrow(1.5e-38)));
    }
}
