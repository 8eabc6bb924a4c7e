//! What the host sees. It fills the request, plans, grows the memory, fills the inputs, and calls `mfl_run` in every thread.

use crate::isa::Best;
use crate::plan::{Plan, Region};
use crate::request::Request;
use crate::run::run;
use crate::team::Team;
use core::ptr::{addr_of, addr_of_mut};

static mut REQUEST: Request = Request::EMPTY;
static mut PLAN: Plan = Plan::EMPTY;
static TEAM: Team = Team::new();

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[no_mangle]
pub extern "C" fn mfl_abi_version() -> u32 {
    1
}

#[no_mangle]
pub extern "C" fn mfl_request() -> *mut Request {
    addr_of_mut!(REQUEST)
}

/// Where to store 1 to stop the run.
#[no_mangle]
pub extern "C" fn mfl_cancel_flag() -> *const u32 {
    TEAM.cancel.as_ptr()
}

/// Lays out the memory for the request from `start` on; returns its end in bytes, which may be more than there can be.
#[no_mangle]
pub extern "C" fn mfl_plan(start: u32) -> f64 {
    unsafe {
        PLAN = Plan::new::<Best, f32>(&*addr_of!(REQUEST), u64::from(start));
        (*addr_of!(PLAN)).offset(Region::End) as f64
    }
}

/// Where a region begins (see `Region`), in bytes.
#[no_mangle]
pub extern "C" fn mfl_offset(region: u32) -> f64 {
    unsafe { (*addr_of!(PLAN)).at.get(region as usize).map_or(-1.0, |&at| at as f64) }
}

/// Before the threads of a run start.
#[no_mangle]
pub extern "C" fn mfl_reset() {
    TEAM.reset();
}

/// One thread's part of the planned run: 0 done, 1 cancelled, 2 a label is not a class.
#[no_mangle]
pub extern "C" fn mfl_run(thread: u32) -> u32 {
    unsafe { run::<Best, f32>(&*addr_of!(PLAN), 0, &TEAM, thread as usize) }
}
