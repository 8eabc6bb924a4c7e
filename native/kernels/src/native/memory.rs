//! A session's memory.

use std::alloc::{alloc, dealloc, Layout};

/// Huge pages, where the system has them, begin at their multiples.
const ALIGNMENT: usize = 2 << 20;

pub struct Memory {
    start: *mut u8,
    bytes: usize,
}

// Who works in the memory, and when, is the session's business.
unsafe impl Send for Memory {}

impl Memory {
    pub const fn empty() -> Self {
        Self { start: std::ptr::null_mut(), bytes: 0 }
    }

    pub fn address(&self) -> usize {
        self.start as usize
    }

    /// At least so many bytes; what was in it is lost when it grows. False when there is not so much.
    pub fn reserve(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        self.release();
        let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) else { return false };
        self.start = unsafe { alloc(layout) };
        if self.start.is_null() {
            return false;
        }
        self.bytes = bytes;
        prefer_huge_pages(self.start, bytes);
        true
    }

    fn release(&mut self) {
        if self.bytes > 0 {
            unsafe { dealloc(self.start, Layout::from_size_align_unchecked(self.bytes, ALIGNMENT)) };
            self.start = std::ptr::null_mut();
            self.bytes = 0;
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(target_os = "linux")]
fn prefer_huge_pages(start: *mut u8, bytes: usize) {
    extern "C" {
        fn madvise(start: *mut core::ffi::c_void, bytes: usize, advice: i32) -> i32;
    }
    const MADV_HUGEPAGE: i32 = 14;
    // Advice only: a kernel without huge pages says no, and nothing is lost.
    unsafe { madvise(start.cast(), bytes & !4095, MADV_HUGEPAGE) };
}
#[cfg(not(target_os = "linux"))]
fn prefer_huge_pages(_: *mut u8, _: usize) {}
