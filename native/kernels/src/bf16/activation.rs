//! The way back through activation and normalisation where bf16 are multiplied.

use crate::activation::Way;
use crate::conv::{by_groups, channel_groups, RowShape, TapRow, MOST_CHANNELS};
use crate::element::Element;
use crate::fours::{for_each_plane, mix_gradients, separate, MIXED, TOGETHER};
use crate::lanes::{within, Lanes};
use crate::math::Activation;
use crate::run::Program;

impl<'a, L: Lanes, E: Element, A: Activation> Program<'a, L, E, A> {
    /// `through_activation` of the rows of a line of four planes as their vectors are made: convolved from tap rows, then back through the
    /// block whose volume's rows are `from`, to the rows `to`; both null where the line has fewer planes. woven = the block's output, mixed and
    /// woven as `weave` does it, zero beyond the width.
    #[inline(never)]
    pub(crate) unsafe fn convolve_through_activation(
        &self,
        mixed: [&[TapRow<u16>]; MIXED],
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
        let vectors = self.cleared_vectors();
        // Of each channel's group: its first channel, and how many it has.
        let mut groups = [(0, 0); MOST_CHANNELS];
        channel_groups(channels, |first, count| groups[first..first + count].fill((first, count)));
        by_groups::<L, u16, MIXED>(
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
                        let [z, next_z] = E::load_two::<L>(from);
                        let (g, value) = way.back::<E, A>(z, within(one[t], x, width));
                        let (next_g, next_value) = way.back::<E, A>(next_z, within(next[t], x + L::N, width));
                        (values[0][t], values[1][t]) = (within(value, x, width), within(next_value, x + L::N, width));
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
