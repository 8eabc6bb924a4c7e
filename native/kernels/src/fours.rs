//! Four output planes at once with six products instead of twelve: the minimal filtering algorithm F(4, 3) of Winograd, along z.
//!
//! With d0..d5 the planes j - 1..j + 4 of a chain, six mixed planes are convolved, each within the plane, by mixed weights of
//! their own; sums of the six results are the output planes j..j + 3. These are products of polynomials by their values at 0,
//! A, -A, B, -B and infinity. At 3/4 and 3/2 errors are half those at the usual 1 and 2 (docs/performance.md), and every
//! coefficient but the weights' is exact.

use crate::lanes::Lanes;

/// Output planes computed together.
pub const TOGETHER: usize = 4;
/// Mixed planes that they take.
pub const MIXED: usize = 6;

/// `$body` for each of the planes that are computed together, written out: a loop would not be unrolled, and what it indexes with `$t` would go
/// through memory.
macro_rules! for_each_plane {
    ($t:ident => $body:block) => {{
        {
            let $t = 0;
            $body
        }
        {
            let $t = 1;
            $body
        }
        {
            let $t = 2;
            $body
        }
        {
            let $t = 3;
            $body
        }
    }};
}
pub(crate) use for_each_plane;

const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
/// What the weights are divided by, for the points 0, A and -A, B and -B.
const DIVISORS: [f64; 3] = [(A2 * B2) as f64, (2.0 * A2 * (A2 - B2)) as f64, (2.0 * B2 * (B2 - A2)) as f64];

/// Links that the shortest chain must have, for the mixed planes to be less work than the taps that exist.
const LEAST_LINKS: usize = 3;

/// Whether a dilation's convolutions are done in fours of planes.
pub fn in_fours(depth: usize, dilation: usize) -> bool {
    depth / dilation >= LEAST_LINKS
}

/// What the weight of plane kz counts for in that of a mixed plane.
#[inline(always)]
fn share(plane: usize, kz: usize) -> f64 {
    let at = |point: f32, divisor: f64| f64::from([1.0, point, point * point][kz]) / divisor;
    match plane {
        0 => at(0.0, DIVISORS[0]),
        1 => at(A, DIVISORS[1]),
        2 => at(-A, DIVISORS[1]),
        3 => at(B, DIVISORS[2]),
        4 => at(-B, DIVISORS[2]),
        _ => [0.0, 0.0, 1.0][kz],
    }
}

/// The mixed weight of a plane, from the three along z.
#[inline(always)]
pub fn weight(plane: usize, w: impl Fn(usize) -> f32) -> f32 {
    (0..3).map(|kz| share(plane, kz) * f64::from(w(kz))).sum::<f64>() as f32
}

/// The gradient by weight kz, from those by the six mixed weights: `weight` transposed.
#[inline(always)]
pub fn unmix(kz: usize, u: impl Fn(usize) -> f64) -> f64 {
    (0..MIXED).map(|plane| share(plane, kz) * u(plane)).sum()
}

/// The mixed planes of six.
#[inline(always)]
pub fn mix<L: Lanes>([d0, d1, d2, d3, d4, d5]: [L; MIXED]) -> [L; MIXED] {
    let (a, b) = (L::splat(A), L::splat(B));
    let (minus_a2, minus_b2) = (L::splat(-A2), L::splat(-B2));
    let (product, minus_sum) = (L::splat(A2 * B2), L::splat(-A2 - B2));
    let (even_a, odd_a) = (d2.fma(minus_b2, d4), d1.fma(minus_b2, d3).mul(a));
    let (even_b, odd_b) = (d2.fma(minus_a2, d4), d1.fma(minus_a2, d3).mul(b));
    [
        d0.fma(product, d2.fma(minus_sum, d4)),
        even_a.add(odd_a),
        even_a.sub(odd_a),
        even_b.add(odd_b),
        even_b.sub(odd_b),
        d1.fma(product, d3.fma(minus_sum, d5)),
    ]
}

/// mixed[0..6] of one row, from d0 and d1, which are kept, and d2 to d5, of which the last two take their place.
/// # Safety
/// Every row holds `pitch` floats, a multiple of the lanes.
#[inline(always)]
pub unsafe fn mix_inputs<L: Lanes>(kept: [*mut f32; 2], new: [*const f32; TOGETHER], mixed: [*mut f32; MIXED], pitch: usize) {
    L::enter(
        #[inline(always)]
        || {
            let mut x = 0;
            while x < pitch {
                let (d0, d1) = (L::load(kept[0].add(x)), L::load(kept[1].add(x)));
                let (d2, d3) = (L::load(new[0].add(x)), L::load(new[1].add(x)));
                let (d4, d5) = (L::load(new[2].add(x)), L::load(new[3].add(x)));
                d4.store(kept[0].add(x));
                d5.store(kept[1].add(x));
                let values = mix([d0, d1, d2, d3, d4, d5]);
                for plane in 0..MIXED {
                    values[plane].store(mixed[plane].add(x));
                }
                x += L::N;
            }
        },
    )
}

/// The four outputs from the results of the six mixed planes.
#[inline(always)]
pub fn separate<L: Lanes>(m: [L; MIXED]) -> [L; TOGETHER] {
    let (even_a, odd_a) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (even_b, odd_b) = (m[3].add(m[4]), m[3].sub(m[4]));
    let [a, a2, a3] = [L::splat(A), L::splat(A2), L::splat(A2 * A)];
    let [b, b2, b3] = [L::splat(B), L::splat(B2), L::splat(B2 * B)];
    [m[0].add(even_a).add(even_b), odd_a.fma(a, odd_b.mul(b)), even_a.fma(a2, even_b.mul(b2)), odd_a.fma(a3, odd_b.fma(b3, m[5]))]
}

/// The four output rows from the results, `length` floats each, one after the other.
/// # Safety
/// The length is a multiple of the lanes.
#[inline(never)]
pub unsafe fn separate_rows<L: Lanes>(results: *const f32, to: [*mut f32; TOGETHER], length: usize) {
    L::enter(
        #[inline(always)]
        || {
            for x in (0..length).step_by(L::N) {
                let mut m = [L::splat(0.0); MIXED];
                for plane in 0..MIXED {
                    m[plane] = L::load(results.add(plane * length + x));
                }
                let y = separate(m);
                for i in 0..TOGETHER {
                    y[i].store(to[i].add(x));
                }
            }
        },
    )
}

/// What the mixed inputs are multiplied by for the gradient by the mixed weights: `separate` transposed.
#[inline(always)]
pub fn mix_gradients<L: Lanes>(y: [L; TOGETHER]) -> [L; MIXED] {
    let [a, a2] = [L::splat(A), L::splat(A2)];
    let [b, b2] = [L::splat(B), L::splat(B2)];
    let (even_a, odd_a) = (y[2].fma(a2, y[0]), y[3].fma(a2, y[1]).mul(a));
    let (even_b, odd_b) = (y[2].fma(b2, y[0]), y[3].fma(b2, y[1]).mul(b));
    [y[0], even_a.add(odd_a), even_a.sub(odd_a), even_b.add(odd_b), even_b.sub(odd_b), y[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::portable::Portable;

    const N: usize = 4;

    /// Six planes of one vector each.
    fn planes() -> [[f32; N]; MIXED] {
        core::array::from_fn(|plane| core::array::from_fn(|x| ((plane * 7 + x * 5) % 11) as f32 / 4.0 - 1.0))
    }

    fn mixed(d: [[f32; N]; MIXED]) -> [[f32; N]; MIXED] {
        let (mut kept, mut to) = ([d[0], d[1]], [[0.0; N]; MIXED]);
        let new = core::array::from_fn(|i| d[2 + i].as_ptr());
        let (first, second) = kept.split_at_mut(1);
        let kept_rows = [first[0].as_mut_ptr(), second[0].as_mut_ptr()];
        unsafe { mix_inputs::<Portable>(kept_rows, new, to.each_mut().map(|row| row.as_mut_ptr()), N) };
        assert_eq!(kept, [d[4], d[5]]);
        to
    }

    const WEIGHTS: [f32; 3] = [0.3, -1.1, 0.7];

    #[test]
    fn four_planes_are_what_three_taps_make_of_six() {
        let (d, m) = (planes(), mixed(planes()));
        for x in 0..N {
            let results = core::array::from_fn(|p| Portable::splat(weight(p, |kz| WEIGHTS[kz]) * m[p][x]));
            for (j, y) in separate(results).into_iter().enumerate() {
                let expected: f32 = (0..3).map(|kz| WEIGHTS[kz] * d[j + kz][x]).sum();
                assert!((y.sum() / 4.0 - expected).abs() < 1e-5, "plane {j}");
            }
        }
    }

    #[test]
    fn the_gradient_by_the_weights_is_the_products_of_planes_a_tap_apart() {
        let (d, m) = (planes(), mixed(planes()));
        let slopes = [0.4f32, -0.2, 0.9, 0.1];
        let mixed_slopes = mix_gradients(slopes.map(Portable::splat)).map(|s| f64::from(s.sum() / 4.0));
        for x in 0..N {
            for kz in 0..3 {
                let found = unmix(kz, |p| mixed_slopes[p] * f64::from(m[p][x]));
                let expected: f64 = (0..4).map(|j| f64::from(slopes[j] * d[j + kz][x])).sum();
                assert!((found - expected).abs() < 1e-5, "tap {kz}");
            }
        }
    }
}
