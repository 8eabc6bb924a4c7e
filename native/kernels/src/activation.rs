//! The way back through activation and normalisation, a row at a time.

use crate::coefficients::Coefficients;
use crate::element::Element;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::run::Program;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// gradient (C, pitch), by a block's output -> by its normalised, scaled values, in the row `to` of a tensor; sums (2, C) += the sums of it, and of its
    /// products with the normalised values. values (C, pitch) = the block's output, unless it is null. The row `ahead` elements further will be
    /// read soon.
    #[inline(never)]
    pub(crate) unsafe fn through_activation(
        &self,
        gradient: *mut f32,
        to: *mut E,
        values: *mut f32,
        block: usize,
        volume: usize,
        z: usize,
        y: usize,
        sums: &mut [f64],
        ahead: usize,
    ) {
        let plan = self.plan;
        let from = self.row(plan.slot(block), volume, z, y);
        // Beyond the width nothing counts.
        self.clear_tail(gradient);
        L::enter(
            #[inline(always)]
            || {
                for c in 0..plan.channels() {
                    let (k, at) = (self.coefficients(block, volume, c), c * plan.pitch);
                    let values = if values.is_null() { None } else { Some(values.add(at)) };
                    let (gradient, to, from) = (gradient.add(at), to.add(at), from.add(at));
                    let (sum, product) =
                        through_activation::<L, E, A>(gradient, to, plan.streams(), values, from, plan.pitch, k, ahead);
                    sums[c] += f64::from(sum);
                    sums[plan.channels() + c] += f64::from(product);
                }
            },
        )
    }
}

/// A channel's way back through activation and normalisation, and the sums that it gives.
#[derive(Clone, Copy)]
pub(crate) struct Way<L> {
    scale: L,
    shift: L,
    factor: L,
    inverse: L,
    center: L,
    pub sum: L,
    pub product: L,
}

impl<L: Lanes> Way<L> {
    #[inline(always)]
    pub fn new(k: &Coefficients, sum: L, product: L) -> Self {
        let [scale, shift, factor] = [L::splat(k.scale), L::splat(k.shift), L::splat(k.factor)];
        Self { scale, shift, factor, inverse: L::splat(k.inverse), center: L::splat(k.center), sum, product }
    }

    /// From a gradient by the block's output at z: that by the normalised, scaled values, and the block's output.
    #[inline(always)]
    pub fn back<E: Element, A: Activation>(&mut self, z: L, gradient: L) -> (L, L) {
        let (value, slope) = E::activated::<L, A>(z.fma(self.scale, self.shift));
        let g = gradient.mul(slope.mul(self.factor));
        self.sum = self.sum.add(g);
        self.product = g.fma(z.fma(self.inverse, self.center), self.product);
        (g, value.mul(self.factor))
    }
}

/// As the method, of `pitch` values of one channel; gives the two sums.
/// # Safety
/// Rows hold that many, a multiple of the lanes; as `Lanes::enter`.
#[inline(always)]
pub(crate) unsafe fn through_activation<L: Lanes, E: Element, A: Activation>(
    gradient: *const f32,
    to: *mut E,
    streamed: bool,
    values: Option<*mut f32>,
    from: *const E,
    pitch: usize,
    k: &Coefficients,
    ahead: usize,
) -> (f32, f32) {
    let mut way = Way::<L>::new(k, L::splat(0.0), L::splat(0.0));
    for x in (0..pitch).step_by(L::N) {
        L::prefetch(from.wrapping_add(x + ahead));
        let (g, value) = way.back::<E, A>(E::load(from.add(x)), L::load(gradient.add(x)));
        if let Some(values) = values {
            value.store(values.add(x));
        }
        E::put(g, to.add(x), streamed);
    }
    (way.sum.sum(), way.product.sum())
}

/// to = gradient by z: from `slope`, the gradient by the normalised, scaled values. The rows `ahead` elements further will be read
/// soon.
/// # Safety
/// Rows hold `pitch` elements, a multiple of the lanes.
#[inline(never)]
pub(crate) unsafe fn through_normalisation<L: Lanes, E: Element>(
    slope: *const E,
    z: *const E,
    to: *mut f32,
    pitch: usize,
    k: &Coefficients,
    ahead: usize,
) {
    L::enter(
        #[inline(always)]
        || {
            let (by_slope, by_z, constant) = (L::splat(k.by_slope), L::splat(k.by_z), L::splat(k.constant));
            for x in (0..pitch).step_by(L::N) {
                L::prefetch(slope.wrapping_add(x + ahead));
                L::prefetch(z.wrapping_add(x + ahead));
                let rest = E::load::<L>(z.add(x)).fma(by_z, constant);
                E::load::<L>(slope.add(x)).fma(by_slope, rest).store(to.add(x));
            }
        },
    )
}
