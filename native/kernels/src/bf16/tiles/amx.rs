//! The tile unit of Intel's CPUs since Sapphire Rapids: AMX-TILE with AMX-BF16, under Linux.

use super::{multiplies, Tiles, EDGE};
use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::sync::OnceLock;

#[derive(Clone, Copy)]
pub struct Amx;

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const ALL_TILES: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [EDGE as u8, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Whether the CPU has the unit, the system lets this process use it, and it computes what it should.
pub fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| has_unit() && is_permitted() && unsafe { multiplies::<Amx>() })
}

fn has_unit() -> bool {
    // Leaf 7: AMX-BF16, AMX-TILE.
    const WANTED: u32 = 1 << 22 | 1 << 24;
    __get_cpuid_max(0).0 >= 7 && __cpuid_count(7, 0).edx & WANTED == WANTED
}

/// Linux keeps the tiles' state for a process only after it was asked to; threads that start later may use them too, and those that
/// run already.
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result == 0
}

impl Tiles for Amx {
    #[inline(always)]
    unsafe fn begin() -> Self {
        asm!("ldtilecfg [{}]", in(reg) &ALL_TILES, options(nostack, readonly));
        Self
    }
    #[inline(always)]
    unsafe fn end(&mut self) {
        asm!("tilerelease", options(nostack, nomem));
    }
    #[inline(always)]
    unsafe fn zero<const T: usize>(&mut self) {
        asm!("tilezero tmm{t}", t = const T, options(nostack, nomem));
    }
    #[inline(always)]
    unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize) {
        asm!("tileloadd tmm{t}, [{from} + {stride}*1]", t = const T, from = in(reg) from, stride = in(reg) stride, options(nostack, readonly));
    }
    #[inline(always)]
    unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize) {
        asm!("tilestored [{to} + {stride}*1], tmm{t}", t = const T, to = in(reg) to, stride = in(reg) stride, options(nostack));
    }
    #[inline(always)]
    unsafe fn dot<const C: usize, const A: usize, const B: usize>(&mut self) {
        asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B, options(nostack, nomem));
    }
}
