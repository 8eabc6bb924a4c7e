//! The weights of a convolution by dot products: as in `crate::conv`, two channels or two taps a multiply.

use crate::bf16::narrow;
use crate::conv::channel_groups;

/// Dot products that a tap row takes: three for two channels, and two for the last of an odd number.
pub fn dots(inputs: usize) -> usize {
    inputs / 2 * 3 + inputs % 2 * 2
}

/// to = the weights (Co, Ci, 3, 3, 3) by groups of output channels, each (planes, 3, dots, group) words of two bf16; otherwise as
/// `crate::conv::pack`.
/// # Safety
/// `from` holds 27 * outputs * inputs floats, `to` 3 * planes * dots * outputs.
pub unsafe fn pack(from: *const f32, to: *mut f32, outputs: usize, inputs: usize, planes: usize, backward: bool) {
    let mut next = to.cast::<u32>();
    channel_groups(outputs, |first, count| {
        for plane in 0..planes {
            for ky in 0..3 {
                for dot in 0..dots(inputs) {
                    // Each half: an input and kx.
                    let halves = match inputs - (dot / 3 * 2).min(inputs - 1) {
                        1 if dot % 3 == 0 => [Some((inputs - 1, 0)), Some((inputs - 1, 1))],
                        1 => [Some((inputs - 1, 2)), None],
                        _ => [Some((dot / 3 * 2, dot % 3)), Some((dot / 3 * 2 + 1, dot % 3))],
                    };
                    for output in first..first + count {
                        let weight = |(input, kx): (usize, usize)| {
                            let of = |kz: usize| {
                                let tap = (kz * 3 + ky) * 3 + kx;
                                *from.add(if backward {
                                    (input * outputs + output) * 27 + 26 - tap
                                } else {
                                    (output * inputs + input) * 27 + tap
                                })
                            };
                            narrow(if planes == 3 { of(plane) } else { crate::fours::weight(plane, of) })
                        };
                        let [low, high] = halves.map(|half| half.map_or(0, weight));
                        *next = u32::from(high) << 16 | u32::from(low);
                        next = next.add(1);
                    }
                }
            }
        }
    });
}
