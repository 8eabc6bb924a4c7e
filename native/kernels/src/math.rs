//! Exponential, logarithm, error function and the activations, a register at a time.

use crate::lanes::Lanes;

/// e^x for x up to 88, within 1e-7 of the larger of e^x and 1.
#[inline(always)]
pub fn exp<L: Lanes>(x: L) -> L {
    let t = x.mul(L::splat(core::f32::consts::LOG2_E));
    let n = t.round();
    let f = t.sub(n);
    // 2^f for |f| <= 1/2 with the least relative error, 1 at 0.
    let p = L::splat(1.326_472_7e-3);
    let p = p.fma(f, L::splat(9.671_513e-3));
    let p = p.fma(f, L::splat(5.550_733_6e-2));
    let p = p.fma(f, L::splat(2.402_224_2e-1));
    #[allow(clippy::approx_constant)] // the fit's own, not ln 2
    let p = p.fma(f, L::splat(6.931_47e-1));
    p.fma(f, L::splat(1.0)).times_power(n)
}

/// 2^x within 4e-6 of it, 1 at 0 and without a step anywhere: where the result is rounded to bf16.
#[inline(always)]
pub fn exp2_coarse<L: Lanes>(x: L) -> L {
    let (f, n) = x.fraction_and_power();
    // 2^f for f in [0, 1] with the least relative error, exact at both ends.
    let p = L::splat(1.355_574e-2);
    let p = p.fma(f, L::splat(5.203_238e-2));
    let p = p.fma(f, L::splat(2.413_797_6e-1));
    let p = p.fma(f, L::splat(6.930_321e-1));
    p.fma(f, L::splat(1.0)).times_power(n)
}

/// The natural logarithm of normal positive numbers; not a number stays so.
#[inline(always)]
pub fn ln<L: Lanes>(x: L) -> L {
    let one = L::splat(1.0);
    let (m, e) = x.split_exponent();
    let low = L::splat(core::f32::consts::FRAC_1_SQRT_2).greater(m);
    let e = low.select(e.sub(one), e);
    let m = low.select(m.add(m), m).sub(one);
    let square = m.mul(m);
    let p = L::splat(7.037_683_6e-2);
    let p = p.fma(m, L::splat(-1.151_461e-1));
    let p = p.fma(m, L::splat(1.167_699_9e-1));
    let p = p.fma(m, L::splat(-1.242_014_1e-1));
    let p = p.fma(m, L::splat(1.424_932_3e-1));
    let p = p.fma(m, L::splat(-1.666_805_8e-1));
    let p = p.fma(m, L::splat(2.000_071_5e-1));
    let p = p.fma(m, L::splat(-2.499_999_4e-1));
    let p = p.fma(m, L::splat(3.333_333e-1));
    let y = p.mul(m).mul(square);
    let y = e.fma(L::splat(-2.121_944_4e-4), y);
    let y = square.fma(L::splat(-0.5), y);
    let y = e.fma(L::splat(0.693_359_375), m.add(y));
    x.fma(L::splat(0.0), y)
}

/// A ratio of polynomials (as Eigen has it).
#[inline(always)]
pub fn erf<L: Lanes>(x: L) -> L {
    let x = x.max(L::splat(-4.0)).min(L::splat(4.0));
    let s = x.mul(x);
    let p = L::splat(-2.726_142_3e-10);
    let p = p.fma(s, L::splat(2.770_681_4e-8));
    let p = p.fma(s, L::splat(-2.101_024e-6));
    let p = p.fma(s, L::splat(-5.692_506_5e-5));
    let p = p.fma(s, L::splat(-7.349_906_3e-4));
    let p = p.fma(s, L::splat(-2.954_6e-3));
    let p = p.fma(s, L::splat(-1.609_603_3e-2));
    let q = L::splat(-1.456_607_2e-5);
    let q = q.fma(s, L::splat(-2.133_740_6e-4));
    let q = q.fma(s, L::splat(-1.682_827e-3));
    let q = q.fma(s, L::splat(-7.373_329e-3));
    let q = q.fma(s, L::splat(-1.426_473_9e-2));
    x.mul(p).div(q)
}

pub trait Activation: Copy {
    fn value<L: Lanes>(u: L) -> L;
    fn value_and_slope<L: Lanes>(u: L) -> (L, L);
    /// `value_and_slope`, where both are rounded to bf16 soon.
    #[inline(always)]
    fn coarse<L: Lanes>(u: L) -> (L, L) {
        Self::value_and_slope(u)
    }
    /// What `coarse_value` needs of a channel.
    fn terms(scale: f32, shift: f32, factor: f32) -> [f32; 4] {
        [scale, shift, factor, 0.0]
    }
    /// factor * value(scale * z + shift), as `coarse`.
    #[inline(always)]
    fn coarse_value<L: Lanes>(z: L, [scale, shift, factor, _]: [L; 4]) -> L {
        Self::coarse(z.fma(scale, shift)).0.mul(factor)
    }
}

#[derive(Clone, Copy)]
pub struct Elu;
#[derive(Clone, Copy)]
pub struct Relu;
#[derive(Clone, Copy)]
pub struct Gelu;

impl Activation for Elu {
    #[inline(always)]
    fn value<L: Lanes>(u: L) -> L {
        Self::value_and_slope(u).0
    }
    #[inline(always)]
    fn value_and_slope<L: Lanes>(u: L) -> (L, L) {
        let zero = L::splat(0.0);
        let slope = exp(u.min(zero));
        (u.max(zero).add(slope.sub(L::splat(1.0))), slope)
    }
    #[inline(always)]
    fn coarse<L: Lanes>(u: L) -> (L, L) {
        // Where u is positive, whatever its exponential is.
        let (positive, one) = (u.greater(L::splat(0.0)), L::splat(1.0));
        let slope = exp2_coarse(u.mul(L::splat(core::f32::consts::LOG2_E)));
        (positive.select(u, slope.sub(one)), positive.select(one, slope))
    }
    /// For powers of two instead of e.
    fn terms(scale: f32, shift: f32, factor: f32) -> [f32; 4] {
        let (log, ln) = (core::f32::consts::LOG2_E, core::f32::consts::LN_2);
        [scale * log, shift * log, factor, factor * ln]
    }
    #[inline(always)]
    fn coarse_value<L: Lanes>(z: L, [scale, shift, factor, positive]: [L; 4]) -> L {
        let t = z.fma(scale, shift);
        let negative = exp2_coarse(t).fma(factor, L::splat(0.0).sub(factor));
        t.greater(L::splat(0.0)).select(t.mul(positive), negative)
    }
}

impl Activation for Relu {
    #[inline(always)]
    fn value<L: Lanes>(u: L) -> L {
        u.max(L::splat(0.0))
    }
    #[inline(always)]
    fn value_and_slope<L: Lanes>(u: L) -> (L, L) {
        (Self::value(u), u.greater(L::splat(0.0)).select(L::splat(1.0), L::splat(0.0)))
    }
}

impl Activation for Gelu {
    #[inline(always)]
    fn value<L: Lanes>(u: L) -> L {
        u.mul(normal_cdf(u))
    }
    #[inline(always)]
    fn value_and_slope<L: Lanes>(u: L) -> (L, L) {
        let density = exp(u.mul(u).mul(L::splat(-0.5))).mul(L::splat(0.398_942_3));
        let cdf = normal_cdf(u);
        (u.mul(cdf), u.fma(density, cdf))
    }
}

#[inline(always)]
fn normal_cdf<L: Lanes>(u: L) -> L {
    let half = L::splat(0.5);
    erf(u.mul(L::splat(core::f32::consts::FRAC_1_SQRT_2))).fma(half, half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::portable::Portable;

    fn scalar(f: impl Fn(Portable) -> Portable, x: f32) -> f64 {
        f64::from(f(Portable::splat(x)).sum()) / 4.0
    }

    #[test]
    fn exponentials_and_logarithms_are_within_2e_7() {
        for i in -8600..8700 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = (scalar(exp, x) - expected).abs() / expected.max(1.0);
            assert!(error < if x > 0.0 { 1e-5 } else { 1.5e-7 }, "exp({x}): {error}");
        }
        for i in -8600..=0 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            let coarse = scalar(|x| exp2_coarse(x.mul(Portable::splat(core::f32::consts::LOG2_E))), x);
            assert!((coarse / expected - 1.0).abs() < if x > -85.0 { 1e-5 } else { 1e-4 }, "2^(log2 e * {x})");
        }
        for x in [0.0f32, -1e-3, -1e-2] {
            let expected = f64::from(x).exp_m1();
            assert!((scalar(|x| Elu::coarse(x).0, x) - expected).abs() <= 1e-3 * expected.abs() + 1e-7, "elu({x})");
        }
        for i in 1..20000 {
            let x = 1.0 + i as f32 / 150.0;
            let expected = f64::from(x).ln();
            assert!((scalar(ln, x) - expected).abs() < 2e-7 * expected.max(1.0), "ln({x})");
        }
        assert!(scalar(ln, f32::NAN).is_nan());
        assert!(scalar(Elu::value, f32::NAN).is_nan());
        assert!(scalar(Relu::value, f32::NAN).is_nan());
    }

    #[test]
    fn the_slope_of_every_activation_is_its_difference_quotient() {
        fn check<A: Activation>() {
            for i in -60..60 {
                let u = i as f32 / 12.0 + 0.03;
                let h = 0.01;
                let quotient = (scalar(A::value, u + h) - scalar(A::value, u - h)) / f64::from(2.0 * h);
                assert!((scalar(|u| A::value_and_slope(u).1, u) - quotient).abs() < 1e-4, "slope at {u}");
            }
        }
        check::<Elu>();
        check::<Relu>();
        check::<Gelu>();
    }

    #[test]
    fn gelu_agrees_with_known_values() {
        // scipy.stats.norm.cdf(x) * x
        for (x, expected) in
            [(-2.0, -0.04550026389635842), (0.5, 0.34573123063700656), (1.0, 0.8413447460685429), (3.0, 2.99595030590511)]
        {
            assert!((scalar(Gelu::value, x) - expected).abs() < 4e-7, "gelu({x})");
        }
    }
}
