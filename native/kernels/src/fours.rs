//! Four output planes at once with six products instead of twelve: the minimal filtering algorithm F(4, 3) of Winograd, along z
//! (matrices as in Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015).
//!
//! With d0..d5 the planes j - 1..j + 4 of a chain, six mixed planes are convolved, each within the plane, by mixed weights of
//! their own; sums of the six results are the output planes j..j + 3.

use crate::lanes::Lanes;

/// Output planes computed together.
pub const TOGETHER: usize = 4;
/// Mixed planes that they take.
pub const MIXED: usize = 6;

/// Links that the shortest chain must have, for the mixed planes to be less work than the taps that exist.
const LEAST_LINKS: usize = 3;

/// Whether a dilation's convolutions are done in fours of planes.
pub fn in_fours(depth: usize, dilation: usize) -> bool {
    depth / dilation >= LEAST_LINKS
}

/// The mixed weight of a plane, from the three along z.
#[inline(always)]
pub fn weight(plane: usize, w: impl Fn(usize) -> f32) -> f32 {
    match plane {
        0 => w(0) / 4.0,
        1 => -((w(0) + w(2)) + w(1)) / 6.0,
        2 => -((w(0) + w(2)) - w(1)) / 6.0,
        3 => (w(0) / 4.0 + w(2) + w(1) / 2.0) / 6.0,
        4 => (w(0) / 4.0 + w(2) - w(1) / 2.0) / 6.0,
        _ => w(2),
    }
}

/// The gradient by weight kz, from those by the six mixed weights: `weight` transposed.
#[inline(always)]
pub fn unmix(kz: usize, u: impl Fn(usize) -> f64) -> f64 {
    match kz {
        0 => u(0) / 4.0 - (u(1) + u(2)) / 6.0 + (u(3) + u(4)) / 24.0,
        1 => (u(2) - u(1)) / 6.0 + (u(3) - u(4)) / 12.0,
        _ => (u(3) + u(4) - u(1) - u(2)) / 6.0 + u(5),
    }
}

/// mixed[0..6] of one row, from d0 and d1, which are kept, and d2 to d5, of which the last two take their place.
/// # Safety
/// Every row holds `pitch` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn mix_inputs<L: Lanes>(kept: [*mut f32; 2], new: [*const f32; TOGETHER], mixed: [*mut f32; MIXED], pitch: usize) {
    L::enter(
        #[inline(always)]
        || {
            let (two, four, minus_four, minus_five) = (L::splat(2.0), L::splat(4.0), L::splat(-4.0), L::splat(-5.0));
            let mut x = 0;
            while x < pitch {
                let (d0, d1) = (L::load(kept[0].add(x)), L::load(kept[1].add(x)));
                let (d2, d3) = (L::load(new[0].add(x)), L::load(new[1].add(x)));
                let (d4, d5) = (L::load(new[2].add(x)), L::load(new[3].add(x)));
                d4.store(kept[0].add(x));
                d5.store(kept[1].add(x));
                d0.fma(four, d2.fma(minus_five, d4)).store(mixed[0].add(x));
                let (even, odd) = (d2.fma(minus_four, d4), d1.fma(minus_four, d3));
                even.add(odd).store(mixed[1].add(x));
                even.sub(odd).store(mixed[2].add(x));
                let (even, odd) = (d4.sub(d2), d3.sub(d1));
                odd.fma(two, even).store(mixed[3].add(x));
                even.sub(odd.add(odd)).store(mixed[4].add(x));
                d1.fma(four, d3.fma(minus_five, d5)).store(mixed[5].add(x));
                x += L::N;
            }
        },
    )
}

/// The four outputs from the results of the six mixed planes.
#[inline(always)]
pub fn separate<L: Lanes>(m: [L; MIXED]) -> [L; TOGETHER] {
    let (even, odd) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (even_two, odd_two) = (m[3].add(m[4]), m[3].sub(m[4]));
    [
        m[0].add(even).add(even_two),
        odd_two.fma(L::splat(2.0), odd),
        even_two.fma(L::splat(4.0), even),
        odd_two.fma(L::splat(8.0), odd).add(m[5]),
    ]
}

/// What the mixed inputs are multiplied by for the gradient by the mixed weights: `separate` transposed.
#[inline(always)]
pub fn mix_gradients<L: Lanes>(a: [L; TOGETHER]) -> [L; MIXED] {
    let (even, odd) = (a[0].add(a[2]), a[1].add(a[3]));
    let (even_two, odd_two) = (a[2].fma(L::splat(4.0), a[0]), a[3].fma(L::splat(4.0), a[1]));
    let odd_two = odd_two.add(odd_two);
    [a[0], even.add(odd), even.sub(odd), even_two.add(odd_two), even_two.sub(odd_two), a[3]]
}
