//! The C ABI of include/meshfl.h: one exported symbol, `mfl_cpu_v1`, which gives a table of functions. Nothing unwinds, prints or aborts
//! across it.

pub mod error;
mod memory;
pub mod session;
mod threads;

use crate::isa::chosen::Isa;
use crate::request::{Request, FP32};
use core::ffi::{c_char, c_void, CStr};
use error::{Error, Status};
use session::Session;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

pub const ABI_VERSION: u32 = 2;

/// `mfl_backend` of meshfl.h, member for member.
#[repr(C)]
pub struct Backend {
    abi_version: u32,
    request_bytes: u32,
    name: *const c_char,
    last_error: extern "C" fn() -> *const c_char,
    instruction_set: extern "C" fn(u32, u32) -> *const c_char,
    create: unsafe extern "C" fn(*const c_char, u32, *mut *mut Session) -> Status,
    plan: unsafe extern "C" fn(*const Session, *const Request, *mut u64) -> Status,
    prepare: unsafe extern "C" fn(*const Session, *const Request) -> Status,
    write: unsafe extern "C" fn(*const Session, u32, *const c_void, u64) -> Status,
    run: unsafe extern "C" fn(*const Session) -> Status,
    read: unsafe extern "C" fn(*const Session, u32, *mut c_void, u64) -> Status,
    cancel: unsafe extern "C" fn(*const Session) -> Status,
    destroy: unsafe extern "C" fn(*mut Session) -> Status,
    measure_peak: unsafe extern "C" fn(*const c_char, u32, *mut f64) -> Status,
}

// The name is a constant.
unsafe impl Sync for Backend {}

static BACKEND: Backend = Backend {
    abi_version: ABI_VERSION,
    request_bytes: size_of::<Request>() as u32,
    name: c"cpu".as_ptr(),
    last_error: last_error_of_thread,
    instruction_set,
    create,
    plan,
    prepare,
    write,
    run,
    read,
    cancel,
    destroy,
    measure_peak,
};

/// The table of this backend; it lives as long as the process.
#[no_mangle]
pub extern "C" fn mfl_cpu_v1() -> *const Backend {
    static SILENCE: Once = Once::new();
    // A panic becomes a status with this message; the hook that would print it is this library's own.
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|panic| error::remember(&panic.to_string()))));
    &BACKEND
}

fn status(work: impl FnOnce() -> Result<(), Error>) -> Status {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(error)) => {
            error::remember(&error.message);
            error.status
        }
        Err(_) => Status::Internal,
    }
}

fn null(what: &str) -> Error {
    Error::invalid(format!("{what} is a null pointer"))
}

unsafe fn isa_by_name(name: *const c_char) -> Result<Isa, Error> {
    if name.is_null() {
        return Isa::of(FP32).next().ok_or_else(|| Error::invalid("no instruction set".into()));
    }
    let name = CStr::from_ptr(name).to_string_lossy();
    let unsupported = |message| Error { status: Status::Unsupported, message };
    let isa = Isa::ALL.iter().find(|isa| isa.name() == name);
    let isa = isa.ok_or_else(|| unsupported(format!("these kernels were not built with instruction set {name}")))?;
    isa.is_here().then_some(*isa).ok_or_else(|| unsupported(format!("this CPU has no {name}")))
}

extern "C" fn last_error_of_thread() -> *const c_char {
    error::last()
}

extern "C" fn instruction_set(precision: u32, index: u32) -> *const c_char {
    match Isa::of(precision).nth(index as usize) {
        #[cfg(target_arch = "x86_64")]
        Some(Isa::Avx512Bf16) => c"avx512-bf16".as_ptr(),
        #[cfg(target_arch = "x86_64")]
        Some(Isa::Avx512) => c"avx512".as_ptr(),
        #[cfg(target_arch = "x86_64")]
        Some(Isa::Avx2) => c"avx2".as_ptr(),
        #[cfg(target_arch = "aarch64")]
        Some(Isa::Neon) => c"neon".as_ptr(),
        Some(Isa::Portable) => c"portable".as_ptr(),
        Some(Isa::TileTwin) => c"tile-twin".as_ptr(),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Some(Isa::AmxBf16) => c"amx-bf16".as_ptr(),
        None => core::ptr::null(),
    }
}

unsafe extern "C" fn create(isa: *const c_char, threads: u32, to: *mut *mut Session) -> Status {
    status(|| {
        let to = to.as_mut().ok_or_else(|| null("session"))?;
        *to = core::ptr::null_mut();
        *to = Box::into_raw(Box::new(Session::create(isa_by_name(isa)?, threads as usize)?));
        Ok(())
    })
}

unsafe fn of<'a>(session: *const Session) -> Result<&'a Session, Error> {
    session.as_ref().ok_or_else(|| null("session"))
}

unsafe extern "C" fn plan(session: *const Session, request: *const Request, bytes: *mut u64) -> Status {
    status(|| {
        let request = request.as_ref().ok_or_else(|| null("request"))?;
        *bytes.as_mut().ok_or_else(|| null("bytes"))? = of(session)?.plan(request)?;
        Ok(())
    })
}

unsafe extern "C" fn prepare(session: *const Session, request: *const Request) -> Status {
    status(|| of(session)?.prepare(request.as_ref().ok_or_else(|| null("request"))?))
}

unsafe extern "C" fn write(session: *const Session, region: u32, from: *const c_void, bytes: u64) -> Status {
    status(|| match from.is_null() && bytes > 0 {
        true => Err(null("from")),
        false => of(session)?.write(region, from.cast(), bytes as usize),
    })
}

unsafe extern "C" fn run(session: *const Session) -> Status {
    status(|| of(session)?.run())
}

unsafe extern "C" fn read(session: *const Session, region: u32, to: *mut c_void, bytes: u64) -> Status {
    status(|| match to.is_null() && bytes > 0 {
        true => Err(null("to")),
        false => of(session)?.read(region, to.cast(), bytes as usize),
    })
}

unsafe extern "C" fn cancel(session: *const Session) -> Status {
    status(|| {
        of(session)?.cancel();
        Ok(())
    })
}

unsafe extern "C" fn destroy(session: *mut Session) -> Status {
    status(|| {
        if !session.is_null() {
            drop(Box::from_raw(session));
        }
        Ok(())
    })
}

unsafe extern "C" fn measure_peak(isa: *const c_char, threads: u32, to: *mut f64) -> Status {
    status(|| {
        let to = to.as_mut().ok_or_else(|| null("to"))?;
        *to = crate::peak::flops(isa_by_name(isa)?, threads.clamp(1, session::MOST_THREADS as u32) as usize);
        Ok(())
    })
}
