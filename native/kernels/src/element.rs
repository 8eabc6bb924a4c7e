//! What the tensors of blocks hold.

use crate::bf16::tiles::{Tiles, Twin};
use crate::lanes::Lanes;
use crate::math::Activation;
use core::marker::PhantomData;

/// What convolutions multiply.
#[derive(Clone, Copy, PartialEq)]
pub enum Products {
    /// Floats, whatever the tensors hold.
    Floats,
    /// Pairs of bf16: `Lanes::dot_bf16`.
    Dots,
    /// Tiles of bf16.
    Tiles,
}

pub trait Element: Copy {
    /// Whether it is a float, so that rows of a tensor can be read where they lie.
    const IS_FLOAT: bool;
    const PRODUCTS: Products;
    /// The unit of `Products::Tiles`.
    type Tiles: Tiles;

    /// # Safety
    /// `from` points to a register's worth of readable elements; no alignment is needed.
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// `load` of two registers' worth.
    /// # Safety
    /// As `load`, for both.
    #[inline(always)]
    unsafe fn load_two<L: Lanes>(from: *const Self) -> [L; 2] {
        [Self::load(from), Self::load(from.add(L::N))]
    }
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

    /// `put` of two registers' worth, one after the other.
    /// # Safety
    /// As `put`, for both.
    #[inline(always)]
    unsafe fn put_two<L: Lanes>(one: L, next: L, to: *mut Self, streamed: bool) {
        Self::put(one, to, streamed);
        Self::put(next, to.add(L::N), streamed);
    }

    /// The activation of a value and its slope, as exactly as tensors show.
    #[inline(always)]
    fn activated<L: Lanes, A: Activation>(u: L) -> (L, L) {
        if Self::PRODUCTS != Products::Floats {
            A::coarse(u)
        } else {
            A::value_and_slope(u)
        }
    }
}

impl Element for f32 {
    const IS_FLOAT: bool = true;
    const PRODUCTS: Products = Products::Floats;
    type Tiles = Twin;

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

/// How bf16 are multiplied.
pub trait Multiplier: Copy {
    const PRODUCTS: Products;
    type Tiles: Tiles;
}

#[derive(Clone, Copy)]
pub struct ByFloats;
impl Multiplier for ByFloats {
    const PRODUCTS: Products = Products::Floats;
    type Tiles = Twin;
}

#[derive(Clone, Copy)]
pub struct ByDots;
impl Multiplier for ByDots {
    const PRODUCTS: Products = Products::Dots;
    type Tiles = Twin;
}

#[derive(Clone, Copy)]
pub struct ByTiles<T>(PhantomData<T>);
impl<T: Tiles + Copy> Multiplier for ByTiles<T> {
    const PRODUCTS: Products = Products::Tiles;
    type Tiles = T;
}

/// A bf16, read as a float and rounded when it is stored.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Bf16<M>(u16, PhantomData<M>);

impl<M: Multiplier> Element for Bf16<M> {
    const IS_FLOAT: bool = false;
    const PRODUCTS: Products = M::PRODUCTS;
    type Tiles = M::Tiles;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        L::load_bf16(from.cast())
    }
    #[inline(always)]
    unsafe fn load_two<L: Lanes>(from: *const Self) -> [L; 2] {
        L::load_two_bf16(from.cast())
    }
    #[inline(always)]
    unsafe fn store<L: Lanes>(value: L, to: *mut Self) {
        value.store_bf16(to.cast());
    }
    #[inline(always)]
    unsafe fn put<L: Lanes>(value: L, to: *mut Self, streamed: bool) {
        value.put_bf16(to.cast(), streamed);
    }
    #[inline(always)]
    unsafe fn put_two<L: Lanes>(one: L, next: L, to: *mut Self, streamed: bool) {
        one.put_two_bf16(next, to.cast(), streamed);
    }
}
