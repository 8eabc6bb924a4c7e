//! Two output planes at once with four products instead of six: the minimal filtering algorithm F(2, 3) of Winograd, along z.
//!
//! With d0..d3 the planes j - 1..j + 2 of a chain, and w0..w2 the weights' planes, it takes four mixed planes
//! `d0 - d2, d1 + d2, d2 - d1, d1 - d3`, convolves each within the plane by its own mixed weights, and adds the results m0..m3:
//! plane j is `m0 + m1 + m2`, plane j + 1 is `m1 - m2 - m3`. The mixed planes are sums of two, so that rounding them to bf16 costs little;
//! those of `crate::fours` are weighted sums of up to four.

use crate::lanes::Lanes;

/// Mixed planes that two output planes take.
pub const MIXED: usize = 4;

/// Links that the shortest chain must have, for the four planes to be less work than the taps that exist.
const LEAST_LINKS: usize = 4;

/// Whether a dilation's convolutions are done in pairs of planes.
pub fn in_pairs(depth: usize, dilation: usize) -> bool {
    depth / dilation >= LEAST_LINKS
}

/// The mixed weight of a plane, from the three along z.
#[inline(always)]
pub fn weight(plane: usize, w: impl Fn(usize) -> f32) -> f32 {
    match plane {
        0 => w(0),
        1 => 0.5 * ((w(0) + w(2)) + w(1)),
        2 => 0.5 * ((w(0) + w(2)) - w(1)),
        _ => w(2),
    }
}

/// The gradient by weight kz, from those by the four mixed weights; the fourth with its sign changed, as `mix_gradients` has it.
#[inline(always)]
pub fn unmix(kz: usize, u: impl Fn(usize) -> f64) -> f64 {
    match kz {
        0 => u(0) + 0.5 * (u(1) + u(2)),
        1 => 0.5 * (u(1) - u(2)),
        _ => 0.5 * (u(1) + u(2)) - u(3),
    }
}

/// The mixed planes of four.
#[inline(always)]
pub fn mix<L: Lanes>(d0: L, d1: L, d2: L, d3: L) -> [L; MIXED] {
    [d0.sub(d2), d1.add(d2), d2.sub(d1), d1.sub(d3)]
}

/// mixed[0..4] of one row, from d0 and d1, which are kept, and d2 and d3, which take their place.
/// # Safety
/// Every row holds `pitch` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn mix_inputs<L: Lanes>(kept: [*mut f32; 2], new: [*const f32; 2], mixed: [*mut f32; 4], pitch: usize) {
    L::enter(
        #[inline(always)]
        || {
            let mut x = 0;
            while x < pitch {
                let (d0, d1) = (L::load(kept[0].add(x)), L::load(kept[1].add(x)));
                let (d2, d3) = (L::load(new[0].add(x)), L::load(new[1].add(x)));
                let values = mix(d0, d1, d2, d3);
                for plane in 0..MIXED {
                    values[plane].store(mixed[plane].add(x));
                }
                d2.store(kept[0].add(x));
                d3.store(kept[1].add(x));
                x += L::N;
            }
        },
    )
}

/// sum = a + b, difference = a - b: with a and b, what the mixed inputs are multiplied by for the gradient by the weights.
/// # Safety
/// Rows hold `length` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn mix_gradients<L: Lanes>(a: *const f32, b: *const f32, sum: *mut f32, difference: *mut f32, length: usize) {
    L::enter(
        #[inline(always)]
        || {
            let mut x = 0;
            while x < length {
                let (p, q) = (L::load(a.add(x)), L::load(b.add(x)));
                p.add(q).store(sum.add(x));
                p.sub(q).store(difference.add(x));
                x += L::N;
            }
        },
    )
}
