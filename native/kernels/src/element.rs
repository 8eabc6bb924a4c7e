//! What the tensors of blocks hold.

use crate::lanes::Lanes;

pub trait Element: Copy {
    /// Whether it is a float, so that arithmetic is done in the tensor's own rows.
    const IS_FLOAT: bool;

    /// # Safety
    /// `from` points to a register's worth of readable elements; no alignment is needed.
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// # Safety
    /// `to` points to a register's worth of writable elements; no alignment is needed.
    unsafe fn store<L: Lanes>(value: L, to: *mut Self);
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
}
