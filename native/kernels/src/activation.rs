//! The way back through activation and normalisation, a row at a time.

use crate::coefficients::Coefficients;
use crate::conv::{by_groups, channel_groups, RowShape, TapRow, MOST_CHANNELS};
use crate::element::Element;
use crate::factor::Factor;
use crate::fours::{for_each_plane, mix_gradients, separate, MIXED, TOGETHER};
use crate::lanes::{first_lanes, Lanes};
use crate::math::Activation;
use crate::run::Program;
use core::slice;

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

    /// `through_activation` of the rows of a line of four planes as their vectors are made: convolved from tap rows, then back through the
    /// block whose volume's rows are `from`, to the rows `to`; both null where the line has fewer planes. woven = the block's output, mixed and
    /// woven as `bf16::weight_gradient::weave` does it, zero beyond the width.
    #[inline(never)]
    pub(crate) unsafe fn convolve_through_activation<T: Factor>(
        &self,
        mixed: [&[TapRow<T>]; MIXED],
        weights: *const f32,
        shape: &RowShape,
        block: usize,
        volume: usize,
        from: [*const E; TOGETHER],
        to: [*mut E; TOGETHER],
        woven: *mut u16,
        sums: &mut [f64],
        ahead: usize,
    ) {
        let plan = self.plan;
        let (channels, pitch, width, streamed) = (plan.channels(), plan.pitch, plan.width(), plan.streams());
        let coefficients = self.coefficients_at(block, volume, 0);
        // (C, 2) vectors.
        let vectors = self.rows_at(|rows| rows.spare);
        slice::from_raw_parts_mut(vectors, 2 * channels * L::N).fill(0.0);
        // Of each channel's group: its first channel, and how many it has.
        let mut groups = [(0, 0); MOST_CHANNELS];
        channel_groups(channels, |first, count| groups[first..first + count].fill((first, count)));
        by_groups::<L, T, MIXED>(
            mixed,
            weights,
            shape,
            #[inline(always)]
            |c, x, [one, next]| {
                let (at, place) = (vectors.add(2 * c * L::N), c * pitch + x);
                let mut way = Way::new(&*coefficients.add(c), L::load(at), L::load(at.add(L::N)));
                let (one, next) = (separate(one), separate(next));
                let mut values = [[L::splat(0.0); TOGETHER]; 2];
                for_each_plane!(t => {
                    if !to[t].is_null() {
                        let from = from[t].add(place);
                        L::prefetch(from.wrapping_add(ahead));
                        if E::IS_FLOAT {
                            L::prefetch(from.wrapping_add(ahead + L::N));
                        }
                        let [z, next_z] = E::load_two::<L>(from);
                        let (mut g, mut next_g) = (one[t], next[t]);
                        if x + 2 * L::N > width {
                            g = first_lanes(g, width as f32 - x as f32);
                            next_g = first_lanes(next_g, width as f32 - (x + L::N) as f32);
                        }
                        let ((g, mut value), (next_g, mut next_value)) = (way.back::<E, A>(z, g), way.back::<E, A>(next_z, next_g));
                        if x + 2 * L::N > width {
                            value = first_lanes(value, width as f32 - x as f32);
                            next_value = first_lanes(next_value, width as f32 - (x + L::N) as f32);
                        }
                        (values[0][t], values[1][t]) = (value, next_value);
                        E::put_two(g, next_g, to[t].add(place), streamed);
                    }
                });
                let (first, count) = groups[c];
                let to = woven.add(first * pitch + x * count + (c - first) * 2 * L::N);
                let (mixed, next) = (mix_gradients(values[0]), mix_gradients(values[1]));
                for m in 0..MIXED {
                    mixed[m].put_two_bf16(next[m], to.add(m * channels * pitch), false);
                }
                way.sum.store(at);
                way.product.store(at.add(L::N));
            },
        );
        self.add_sums(vectors, sums);
    }
}

/// A channel's way back through activation and normalisation, and the sums that it gives.
#[derive(Clone, Copy)]
struct Way<L> {
    scale: L,
    shift: L,
    factor: L,
    inverse: L,
    center: L,
    sum: L,
    product: L,
}

impl<L: Lanes> Way<L> {
    #[inline(always)]
    fn new(k: &Coefficients, sum: L, product: L) -> Self {
        let [scale, shift, factor] = [L::splat(k.scale), L::splat(k.shift), L::splat(k.factor)];
        Self { scale, shift, factor, inverse: L::splat(k.inverse), center: L::splat(k.center), sum, product }
    }

    /// From a gradient by the block's output at z: that by the normalised, scaled values, and the block's output.
    #[inline(always)]
    fn back<E: Element, A: Activation>(&mut self, z: L, gradient: L) -> (L, L) {
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
