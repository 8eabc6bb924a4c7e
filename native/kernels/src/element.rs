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
    /// `store`, past the caches if `streamed` (see `Lanes::stream`).
    /// # Safety
    /// As `store`; `to` is a multiple of the bytes stored.
    #[inline(always)]
    unsafe fn put<L: Lanes>(value: L, to: *mut Self, _streamed: bool) {
        Self::store(value, to);
    }

    /// A value as it is after `store` and `load`.
    /// # Safety
    /// This machine has the lanes' features.
    #[inline(always)]
    unsafe fn rounded<L: Lanes>(value: L) -> L {
        if Self::IS_FLOAT {
            return value;
        }
        let mut kept = [const { core::mem::MaybeUninit::<Self>::uninit() }; 16];
        Self::store(value, kept.as_mut_ptr().cast());
        Self::load(kept.as_ptr().cast())
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
    unsafe fn put<L: Lanes>(value: L, to: *mut Self, streamed: bool) {
        if streamed {
            value.stream(to);
        } else {
            value.store(to);
        }
    }
}

/// A bf16, read as a float and rounded when it is stored.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Element for Bf16 {
    const IS_FLOAT: bool = false;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        L::load_bf16(from.cast())
    }
    #[inline(always)]
    unsafe fn store<L: Lanes>(value: L, to: *mut Self) {
        value.store_bf16(to.cast());
    }
}
