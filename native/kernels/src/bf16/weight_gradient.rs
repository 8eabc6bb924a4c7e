//! What the gradient by a convolution's weights is made with where neighbours along x are multiplied two at a time.

use crate::conv::channel_groups;
use crate::lanes::Lanes;

/// As `crate::weight_gradient::weave` of one row (channels, pitch) of floats, narrowed to bf16; a vector holds two of floats.
/// # Safety
/// Both hold channels * pitch numbers; the pitch is a multiple of two vectors.
#[inline(never)]
pub unsafe fn weave<L: Lanes>(row: *const f32, woven: *mut u16, channels: usize, pitch: usize) {
    L::enter(
        #[inline(always)]
        || {
            channel_groups(
                channels,
                #[inline(always)]
                |first, count| {
                    for c in 0..count {
                        for v in 0..pitch / (2 * L::N) {
                            let from = row.add((first + c) * pitch + 2 * v * L::N);
                            let to = woven.add(first * pitch + (v * count + c) * 2 * L::N);
                            L::load(from).store_bf16(to);
                            L::load(from.add(L::N)).store_bf16(to.add(L::N));
                        }
                    }
                },
            );
        },
    )
}
