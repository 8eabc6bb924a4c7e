//! What the gradient by a convolution's weights is made with where neighbours along x are multiplied two at a time.

use crate::conv::channel_groups;
use crate::lanes::Lanes;

/// As `crate::weight_gradient::weave`, narrowed to bf16; a vector holds two of floats.
/// # Safety
/// `rows` holds T * channels * pitch floats, `woven` M * channels * pitch bf16; the pitch is a multiple of two vectors.
#[inline(always)]
pub unsafe fn weave<L: Lanes, const T: usize, const M: usize>(
    rows: *const f32,
    woven: *mut u16,
    channels: usize,
    pitch: usize,
    mix: impl Fn([L; T]) -> [L; M],
) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                channels,
                #[inline(always)]
                |first, count| {
                    for c in 0..count {
                        for v in 0..pitch / (2 * L::N) {
                            let (mut one, mut next) = ([L::splat(0.0); T], [L::splat(0.0); T]);
                            for t in 0..T {
                                let from = rows.add((t * channels + first + c) * pitch + 2 * v * L::N);
                                (one[t], next[t]) = (L::load(from), L::load(from.add(L::N)));
                            }
                            let (one, next) = (mix(one), mix(next));
                            for m in 0..M {
                                let to = woven.add((m * channels + first) * pitch + (v * count + c) * 2 * L::N);
                                one[m].put_two_bf16(next[m], to, false);
                            }
                        }
                    }
                },
            );
        },
    )
}
