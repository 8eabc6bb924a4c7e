//! Sessions behind the C ABI: what they refuse, and that they stop when told to.

use meshfl_kernels::isa::chosen::Isa;
use meshfl_kernels::native::error::Status;
use meshfl_kernels::native::session::Session;
use meshfl_kernels::request::{Request, FORWARD, INSTANCE_NORM, TRAIN};
use std::time::{Duration, Instant};

fn request(edge: u32) -> Request {
    Request { channels: 20, blocks: 3, depth: edge, height: edge, width: edge, ..Request::EMPTY }
}

#[test]
fn requests_that_are_not_sound_are_refused() {
    let session = Session::create(Isa::Portable, 2).unwrap();
    let good = request(4);
    assert!(session.plan(&good).unwrap() > 0);
    for bad in [
        Request { mode: 3, ..good },
        Request { channels: 0, ..good },
        Request { channels: 65, ..good },
        Request { classes: 1, ..good },
        Request { blocks: 65, ..good },
        Request { activation: 9, ..good },
        Request { depth: 0, ..good },
        Request { depth: u32::MAX, height: u32::MAX, width: u32::MAX, ..good },
        Request { dilations: [0; 64], ..good },
        Request { mode: TRAIN, normalization: INSTANCE_NORM, ..good },
    ] {
        assert_eq!(session.plan(&bad).unwrap_err().status, Status::InvalidArgument);
        assert_eq!(session.prepare(&bad).unwrap_err().status, Status::InvalidArgument);
    }
    assert!(Session::create(Isa::Portable, 0).is_err());
}

#[test]
fn a_session_runs_only_what_was_prepared_and_takes_only_whole_regions() {
    let session = Session::create(Isa::Portable, 1).unwrap();
    assert_eq!(session.run().unwrap_err().status, Status::InvalidArgument);
    session.prepare(&request(4)).unwrap();
    let bytes = [0u8; 64];
    unsafe {
        assert!(session.write(4, bytes.as_ptr(), 64).is_ok());
        assert_eq!(session.write(4, bytes.as_ptr(), 63).unwrap_err().status, Status::InvalidArgument);
        assert_eq!(session.write(11, bytes.as_ptr(), 64).unwrap_err().status, Status::InvalidArgument);
    }
    assert!(session.run().is_ok());
}

#[test]
fn a_run_stops_when_it_is_cancelled_and_others_find_it_busy() {
    let session = Session::create(Isa::Portable, 2).unwrap();
    session.prepare(&Request { mode: FORWARD, ..request(96) }).unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| session.run());
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(session.prepare(&request(4)).unwrap_err().status, Status::Busy);
        let cancelled = Instant::now();
        session.cancel();
        assert_eq!(running.join().unwrap().unwrap_err().status, Status::Cancelled);
        assert!(cancelled.elapsed() < Duration::from_secs(2));
    });
    assert_eq!(session.run().unwrap_err().status, Status::Cancelled, "until something else is prepared");
    session.prepare(&request(4)).unwrap();
    assert!(session.run().is_ok());
}

#[test]
fn memory_that_the_system_lacks_is_a_status() {
    let session = Session::create(Isa::Portable, 1).unwrap();
    let vast = Request { channels: 64, ..request(8192) };
    assert_eq!(session.prepare(&vast).unwrap_err().status, Status::OutOfMemory);
}
