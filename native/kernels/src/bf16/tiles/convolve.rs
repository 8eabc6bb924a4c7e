//! The convolution of a block of lines by tiles.

use super::layout::Layout;
use super::ring::TileRing;
use super::{Tiles, EDGE, TILE};

/// What one kz multiplies: the first of a block's rows, and the weights of its three kx.
#[derive(Clone, Copy)]
struct Tap {
    rows: *const u32,
    weights: *const f32,
}

/// Calls of `meanwhile` in a convolution of a block by `links` planes.
pub fn pauses(layout: &Layout, links: usize) -> usize {
    let vectors = 2 * layout.steps;
    let chain = chain(vectors, layout.apart);
    (vectors / chain).div_ceil(4 / chain) * layout.block.ms * layout.block.ks * links * PAUSES
}

/// In a tap.
const PAUSES: usize = 3;

/// results (ms * 16, pitch) = the convolution of the block whose first line is `line` of the run, of plane `link` of a chain of `links`.
/// `weights` as `Block::pack` has them. The unit works on while `meanwhile` does a little of something else.
/// # Safety
/// The ring holds the plane and its neighbours; `results` holds that many floats.
#[inline(always)]
pub unsafe fn convolve<T: Tiles>(
    tiles: &mut T,
    layout: &Layout,
    ring: &TileRing,
    (link, links): (usize, usize),
    line: usize,
    weights: *const f32,
    results: *mut f32,
    meanwhile: &mut impl FnMut(),
) {
    let (mut taps, mut count) = ([Tap { rows: core::ptr::null(), weights }; 3], 0);
    for kz in 0..3 {
        let from = (link + kz).wrapping_sub(1);
        if from < links {
            taps[count] = Tap { rows: ring.words(from, line), weights: weights.add(3 * kz * layout.block.tap_words()) };
            count += 1;
        }
    }
    match chain(2 * layout.steps, layout.apart) {
        4 => multiply_all::<T, 4>(tiles, &taps[..count], layout, results, meanwhile),
        2 => multiply_all::<T, 2>(tiles, &taps[..count], layout, results, meanwhile),
        _ => multiply_all::<T, 1>(tiles, &taps[..count], layout, results, meanwhile),
    }
}

/// How many vectors, each `apart` after the other, are computed together. Then rows of B that are loaded serve up to three kx.
fn chain(vectors: usize, apart: usize) -> usize {
    [4, 2].into_iter().find(|length| vectors / (length * apart) * length * apart == vectors).unwrap_or(1)
}

/// All vectors of a block's lines, four at a time: as many chains of that length.
#[inline(never)]
unsafe fn multiply_all<T: Tiles, const CHAIN: usize>(
    tiles: &mut T,
    taps: &[Tap],
    layout: &Layout,
    results: *mut f32,
    meanwhile: &mut impl FnMut(),
) {
    let apart = layout.apart;
    let chains = 2 * layout.steps / CHAIN;
    for first in (0..chains).step_by(4 / CHAIN) {
        // Where there are fewer, the last is computed again.
        let start = |i: usize| {
            let chain = (first + i).min(chains - 1);
            (chain / apart * CHAIN * apart + chain % apart) * EDGE
        };
        multiply::<T, CHAIN>(tiles, taps, core::array::from_fn(start), layout, results, meanwhile);
    }
}

/// results (ms * 16, pitch) = the sum over taps of their weights times their rows: chains of vectors, each `Layout::apart` after the other.
/// Rows of B at an odd multiple of four bytes would take six times as long to load: so neighbours along x lie vectors apart.
#[inline(always)]
unsafe fn multiply<T: Tiles, const CHAIN: usize>(
    tiles: &mut T,
    taps: &[Tap],
    starts: [usize; 4],
    layout: &Layout,
    results: *mut f32,
    meanwhile: &mut impl FnMut(),
) {
    let pitch = 2 * layout.steps * EDGE;
    let (block, row, apart) = (&layout.block, 4 * layout.word_pitch, layout.padding());
    for m in 0..block.ms {
        tiles.zero::<0>();
        tiles.zero::<1>();
        tiles.zero::<2>();
        tiles.zero::<3>();
        for tap in taps {
            for k in 0..block.ks {
                let a = |kx: usize| tap.weights.add(kx * block.tap_words() + (m * block.ks + k) * TILE).cast::<u8>();
                let b = |chain: usize, i: usize| {
                    tap.rows.add(k * EDGE * layout.word_pitch + starts[chain] + i * apart).sub(apart).cast::<u8>()
                };
                tiles.load::<4>(a(0), 4 * EDGE);
                tiles.load::<5>(a(1), 4 * EDGE);
                tiles.load::<6>(a(2), 4 * EDGE);
                // A tile of B, and the outputs (C) that it serves, each by its kx (A).
                macro_rules! serve {
                    ($chain:expr, $i:expr, $(($c:literal, $a:literal)),+) => {
                        tiles.load::<7>(b($chain, $i), row);
                        $(tiles.dot::<$c, $a, 7>();)+
                    };
                }
                if CHAIN == 4 {
                    serve!(0, 0, (0, 4));
                    serve!(0, 1, (1, 4), (0, 5));
                    meanwhile();
                    serve!(0, 2, (2, 4), (1, 5), (0, 6));
                    meanwhile();
                    serve!(0, 3, (3, 4), (2, 5), (1, 6));
                    meanwhile();
                    serve!(0, 4, (3, 5), (2, 6));
                    serve!(0, 5, (3, 6));
                } else if CHAIN == 2 {
                    serve!(0, 0, (0, 4));
                    serve!(1, 0, (2, 4));
                    serve!(0, 1, (1, 4), (0, 5));
                    meanwhile();
                    serve!(1, 1, (3, 4), (2, 5));
                    meanwhile();
                    serve!(0, 2, (1, 5), (0, 6));
                    serve!(1, 2, (3, 5), (2, 6));
                    meanwhile();
                    serve!(0, 3, (1, 6));
                    serve!(1, 3, (3, 6));
                } else {
                    macro_rules! serve_four {
                        ($kx:expr, $a:literal) => {
                            serve!(0, $kx, (0, $a));
                            serve!(1, $kx, (1, $a));
                            serve!(2, $kx, (2, $a));
                            serve!(3, $kx, (3, $a));
                            meanwhile();
                        };
                    }
                    serve_four!(0, 4);
                    serve_four!(1, 5);
                    serve_four!(2, 6);
                }
            }
        }
        let to = |i: usize| results.add(m * EDGE * pitch + starts[i / CHAIN] + i % CHAIN * apart).cast::<u8>();
        tiles.store::<0>(to(0), 4 * pitch);
        tiles.store::<1>(to(1), 4 * pitch);
        tiles.store::<2>(to(2), 4 * pitch);
        tiles.store::<3>(to(3), 4 * pitch);
    }
}
