//! What the tensors of blocks hold.

use crate::lanes::Lanes;

pub trait Element: Copy {
    /// Whether it is a float, so that rows of a tensor can be read where they lie.
    const IS_FLOAT: bool;

    /// # Safety
    /// `from` points to a register's worth of readable elements; no alignment is needed.
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// # Safety
    /// `to` points to a register's worth of writable elements; no alignment is needed.
    unsafe fn store<L: Lanes>(value: L, to: *mut Self);
    /// As `Lanes::stream`.
    /// # Safety
    /// As `store`; `to` is a multiple of the bytes stored.
    #[inline(always)]
    unsafe fn stream<L: Lanes>(value: L, to: *mut Self) {
        Self::store(value, to);
    }
}

impl Element for f32 {
    const IS_FLOAT: bool = true;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        L::load(from)
    }
    #[inline(always)]
    unsafe fn store<L: Lanes>(value: L, to: *mut Self) {
        value.store(to);
    }
    #[inline(always)]
    unsafe fn stream<L: Lanes>(value: L, to: *mut Self) {
        value.stream(to);
    }
}
