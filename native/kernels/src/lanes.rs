//! A register of floats.

use crate::bf16::{dot, narrow, widen};

const MOST_LANES: usize = 16;

pub trait Lanes: Copy {
    /// Floats in a register.
    const N: usize;
    /// Registers that code can name.
    const REGISTERS: usize;

    /// Runs `work` as code compiled with the instruction set's features. What computes with lanes is called in here, and is
    /// inlined, or every operation would be a call.
    /// # Safety
    /// This machine has the features.
    unsafe fn enter<R>(work: impl FnOnce() -> R) -> R;

    /// # Safety
    /// `from` points to N readable floats; no alignment is needed.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `to` points to N writable floats; no alignment is needed.
    unsafe fn store(self, to: *mut f32);
    /// Stores what will not be read soon, past the caches where the instruction set can. `end_streams` before another thread reads it.
    /// # Safety
    /// As `store`; `to` is a multiple of the register's size.
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        self.store(to);
    }
    #[inline(always)]
    fn end_streams() {}
    /// Brings what will be read soon into the second-level cache; any address will do.
    #[inline(always)]
    fn prefetch<T>(_from: *const T) {}
    fn splat(value: f32) -> Self;
    /// to = sixteen words `from`, moved `by` places to the front, or to the back if it is negative, zero where none come; the halves
    /// of each swapped if `swap` says so.
    /// # Safety
    /// Both hold sixteen words; as `enter`.
    #[inline(always)]
    unsafe fn slide(from: *const u32, to: *mut u32, by: isize, swap: bool) {
        let words: [u32; 16] = core::array::from_fn(|i| (*from.add(i)).rotate_left(if swap { 16 } else { 0 }));
        for i in 0..16 {
            *to.offset(i) = if (0..16).contains(&(i + by)) { words[(i + by) as usize] } else { 0 };
        }
    }
    /// to = sixteen words: the lower halves of `low`, the upper halves of `high`.
    /// # Safety
    /// All hold sixteen words; as `enter`.
    #[inline(always)]
    unsafe fn blend_halves(low: *const u32, high: *const u32, to: *mut u32) {
        for i in 0..16 {
            *to.add(i) = *low.add(i) & 0xffff | *high.add(i) & 0xffff_0000;
        }
    }
    /// to[stride * i + r] = row r's i-th word, of sixteen rows of sixteen.
    /// # Safety
    /// The memory is that large; as `enter`.
    #[inline(always)]
    unsafe fn transpose(rows: [*const u32; 16], to: *mut u32, stride: usize) {
        for i in 0..16 {
            for r in 0..16 {
                *to.add(stride * i + r) = *rows[r].add(i);
            }
        }
    }

    /// Words of two bf16, rounded by `bf16::narrow`: self below, `upper` above.
    /// # Safety
    /// As `enter`.
    #[inline(always)]
    unsafe fn pair_bf16(self, upper: Self) -> Self {
        let (mut low, mut high) = ([0.0f32; MOST_LANES], [0.0f32; MOST_LANES]);
        self.store(low.as_mut_ptr());
        upper.store(high.as_mut_ptr());
        for (low, high) in low.iter_mut().zip(high) {
            *low = f32::from_bits(u32::from(narrow(high)) << 16 | u32::from(narrow(*low)));
        }
        Self::load(low.as_ptr())
    }
    /// A register of bf16, rounded by `bf16::narrow`: those of self, then those of `next`.
    /// # Safety
    /// As `enter`.
    #[inline(always)]
    unsafe fn narrow_two(self, next: Self) -> Self {
        let mut halves = [0u16; 2 * MOST_LANES];
        self.store_bf16(halves.as_mut_ptr());
        next.store_bf16(halves.as_mut_ptr().add(Self::N));
        Self::load(halves.as_ptr().cast())
    }
    /// Of two registers of bf16 two of words: a bf16 of self below, that of `upper` above; the first half's words, then the second's.
    /// # Safety
    /// As `enter`.
    #[inline(always)]
    unsafe fn interleave_bf16(self, upper: Self) -> [Self; 2] {
        let (mut low, mut high) = ([0u16; 2 * MOST_LANES], [0u16; 2 * MOST_LANES]);
        self.store(low.as_mut_ptr().cast());
        upper.store(high.as_mut_ptr().cast());
        let mut words = [0u32; 2 * MOST_LANES];
        for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
            *word = u32::from(high) << 16 | u32::from(low);
        }
        [Self::load(words.as_ptr().cast()), Self::load(words.as_ptr().add(Self::N).cast())]
    }
    /// sum + the products of the bf16 in words of self and `other`: `bf16::dot` of each lane.
    /// # Safety
    /// As `enter`.
    #[inline(always)]
    unsafe fn dot_bf16(self, other: Self, sum: Self) -> Self {
        let (mut a, mut b, mut sums) = ([0.0f32; MOST_LANES], [0.0f32; MOST_LANES], [0.0f32; MOST_LANES]);
        self.store(a.as_mut_ptr());
        other.store(b.as_mut_ptr());
        sum.store(sums.as_mut_ptr());
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = dot(a.to_bits(), b.to_bits(), *sum);
        }
        Self::load(sums.as_ptr())
    }

    /// As `load`, of N bf16.
    /// # Safety
    /// As `load`.
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        let mut values = [0.0f32; MOST_LANES];
        for (i, value) in values[..Self::N].iter_mut().enumerate() {
            *value = widen(from.add(i).read());
        }
        Self::load(values.as_ptr())
    }
    /// As `load_bf16`, of the first N and of the next.
    /// # Safety
    /// As `load_bf16`, for both.
    #[inline(always)]
    unsafe fn load_two_bf16(from: *const u16) -> [Self; 2] {
        [Self::load_bf16(from), Self::load_bf16(from.add(Self::N))]
    }
    /// As `store`, rounded by `bf16::narrow`.
    /// # Safety
    /// As `store`.
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        let mut values = [0.0f32; MOST_LANES];
        self.store(values.as_mut_ptr());
        for (i, &value) in values[..Self::N].iter().enumerate() {
            to.add(i).write(narrow(value));
        }
    }

    /// `store_bf16`, past the caches as `stream`.
    /// # Safety
    /// As `store_bf16`; `to` is a multiple of the bytes stored.
    #[inline(always)]
    unsafe fn stream_bf16(self, to: *mut u16) {
        self.store_bf16(to);
    }
    /// `store_bf16`, or `stream_bf16` if `streamed`.
    /// # Safety
    /// As `stream_bf16`.
    #[inline(always)]
    unsafe fn put_bf16(self, to: *mut u16, streamed: bool) {
        if streamed {
            self.stream_bf16(to);
        } else {
            self.store_bf16(to);
        }
    }
    /// `put_bf16` of self and then of `next`.
    /// # Safety
    /// As `stream_bf16`, for both.
    #[inline(always)]
    unsafe fn put_two_bf16(self, next: Self, to: *mut u16, streamed: bool) {
        self.put_bf16(to, streamed);
        next.put_bf16(to.add(Self::N), streamed);
    }

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// self * factor + addend, rounded once or twice as the instruction set has it.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// The larger; self when either is not a number.
    fn max(self, other: Self) -> Self;
    /// The smaller; self when either is not a number.
    fn min(self, other: Self) -> Self;
    /// To the nearest integer.
    fn round(self) -> Self;

    /// A mask, for `select` only.
    fn greater(self, other: Self) -> Self;
    /// A mask, for `select` only.
    fn equal(self, other: Self) -> Self;
    /// self is the mask.
    fn select(self, yes: Self, no: Self) -> Self;

    /// 2^self of integers in [-126, 127].
    fn exp2_integer(self) -> Self;
    /// self * 2^power for self near 1 and an integer power up to 127; below -126 it may stop falling.
    #[inline(always)]
    fn times_power(self, power: Self) -> Self {
        self.mul(power.max(Self::splat(-126.0)).exp2_integer())
    }
    /// (f, n) with self = f + n, n whole and f in [0, 1]; n is for `times_power` alone.
    #[inline(always)]
    fn fraction_and_power(self) -> (Self, Self) {
        let whole = self.sub(Self::splat(0.5)).round();
        (self.sub(whole), whole)
    }
    /// (m, e) with self = m * 2^e and m in [0.5, 1), for normal positive numbers.
    fn split_exponent(self) -> (Self, Self);
    /// The sum of the lanes, in a fixed order.
    fn sum(self) -> f32;

    fn sqrt64(value: f64) -> f64;
}

/// A vector from x on of a row of which `limit` places count, zero beyond them.
#[inline(always)]
pub(crate) unsafe fn within<L: Lanes>(value: L, x: usize, limit: usize) -> L {
    static NUMBERS: [f32; 16] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
    if x + L::N <= limit {
        return value;
    }
    let count = L::splat(limit as f32 - x as f32);
    count.greater(L::load(NUMBERS.as_ptr())).select(value, L::splat(0.0))
}
