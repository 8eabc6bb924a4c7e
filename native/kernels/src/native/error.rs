//! What goes wrong, and what the C ABI says of it.

use std::cell::RefCell;

/// `mfl_status` of meshfl.h.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    Ok = 0,
    Cancelled = 1,
    BadLabel = 2,
    InvalidArgument = 3,
    OutOfMemory = 4,
    Unsupported = 5,
    Busy = 6,
    Internal = 7,
}

#[derive(Debug)]
pub struct Error {
    pub status: Status,
    pub message: String,
}

impl Error {
    pub fn invalid(message: String) -> Self {
        Self { status: Status::InvalidArgument, message }
    }
}

const MOST_BYTES: usize = 512;

thread_local! {
    /// Ends with a zero. An array, so that there is nothing to free when a thread ends.
    static LAST: RefCell<[u8; MOST_BYTES]> = const { RefCell::new([0; MOST_BYTES]) };
}

pub fn remember(message: &str) {
    LAST.with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            let mut length = message.len().min(MOST_BYTES - 1);
            while !message.is_char_boundary(length) {
                length -= 1;
            }
            last[..length].copy_from_slice(&message.as_bytes()[..length]);
            last[length] = 0;
        }
    });
}

/// This thread's last message, until its next failure.
pub fn last() -> *const core::ffi::c_char {
    LAST.with(|last| last.as_ptr().cast())
}
