//! Threads that run the same program and meet at barriers.

use core::sync::atomic::{AtomicU32, Ordering::*};

/// How a run ended.
pub const DONE: u32 = 0;
pub const CANCELLED: u32 = 1;
pub const BAD_LABEL: u32 = 2;
/// A thread panicked: native only.
pub const BROKEN: u32 = 3;

/// Looks before a thread lies down: a sleep costs tens of microseconds.
const SPINS: usize = if cfg!(target_arch = "wasm32") { 200 } else { 2000 };

pub struct Team {
    arrived: AtomicU32,
    generation: AtomicU32,
    next: AtomicU32,
    stopped: AtomicU32,
    bed: Bed,
    /// The host stores 1 to stop the work; threads look between planes.
    pub cancel: AtomicU32,
}

// Functions of their own: in the baseline code of Node 20 (V8 11.3), values that the caller holds in registers were seen to change
// across a wait, and threads then missed each other for ever.
#[cfg(target_arch = "wasm32")]
#[inline(never)]
fn sleep(generation: &AtomicU32, seen: u32) {
    unsafe { core::arch::wasm32::memory_atomic_wait32(generation.as_ptr().cast(), seen as i32, -1) };
}
#[cfg(target_arch = "wasm32")]
#[inline(never)]
fn wake(generation: &AtomicU32) {
    unsafe { core::arch::wasm32::memory_atomic_notify(generation.as_ptr().cast(), u32::MAX) };
}
#[cfg(target_arch = "wasm32")]
struct Bed;
#[cfg(target_arch = "wasm32")]
impl Bed {
    const fn new() -> Self {
        Self
    }
    fn sleep(&self, generation: &AtomicU32, seen: u32) {
        sleep(generation, seen);
    }
    fn wake(&self, generation: &AtomicU32) {
        wake(generation);
    }
}

/// Where threads that wait sleep.
#[cfg(not(target_arch = "wasm32"))]
struct Bed {
    lock: std::sync::Mutex<()>,
    changed: std::sync::Condvar,
}
#[cfg(not(target_arch = "wasm32"))]
impl Bed {
    const fn new() -> Self {
        Self { lock: std::sync::Mutex::new(()), changed: std::sync::Condvar::new() }
    }
    fn sleep(&self, generation: &AtomicU32, seen: u32) {
        let guard = self.lock.lock();
        if generation.load(SeqCst) == seen {
            drop(guard.map(|guard| self.changed.wait(guard)));
        }
    }
    fn wake(&self, _: &AtomicU32) {
        // Whoever has seen the old generation holds the lock until it sleeps.
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}

#[cfg(target_arch = "wasm32")]
fn survives(work: impl FnOnce()) -> bool {
    work();
    true
}
#[cfg(not(target_arch = "wasm32"))]
fn survives(work: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok()
}

impl Default for Team {
    fn default() -> Self {
        Self::new()
    }
}

impl Team {
    pub const fn new() -> Self {
        Self {
            arrived: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            next: AtomicU32::new(0),
            stopped: AtomicU32::new(0),
            bed: Bed::new(),
            cancel: AtomicU32::new(0),
        }
    }

    /// Before the threads start.
    pub fn reset(&self) {
        self.arrived.store(0, SeqCst);
        self.next.store(0, SeqCst);
        self.stopped.store(0, SeqCst);
        self.cancel.store(0, SeqCst);
    }

    pub fn cancelled(&self) -> bool {
        self.cancel.load(Relaxed) != 0
    }

    /// For thread 0, while it concludes a pass: the other threads return after it.
    pub fn stop(&self, outcome: u32) {
        self.stopped.store(outcome, SeqCst);
    }

    pub fn outcome(&self) -> u32 {
        self.stopped.load(SeqCst)
    }

    #[inline(never)]
    fn barrier(&self, threads: usize) {
        if threads == 1 {
            return;
        }
        let seen = self.generation.load(SeqCst);
        if self.arrived.fetch_add(1, SeqCst) + 1 == threads as u32 {
            self.arrived.store(0, SeqCst);
            self.generation.fetch_add(1, SeqCst);
            self.bed.wake(&self.generation);
            return;
        }
        for _ in 0..SPINS {
            if self.generation.load(SeqCst) != seen {
                return;
            }
            core::hint::spin_loop();
        }
        while self.generation.load(SeqCst) == seen {
            self.bed.sleep(&self.generation, seen);
        }
    }

    /// Every thread takes items until none is left; then, alone, thread 0 does `conclude`. False when the work was cancelled:
    /// the same answer in every thread.
    pub fn pass(&self, thread: usize, threads: usize, items: usize, work: impl Fn(usize), conclude: impl FnOnce()) -> bool {
        while !self.cancelled() {
            let index = self.next.fetch_add(1, SeqCst) as usize;
            if index >= items {
                break;
            }
            if !survives(|| work(index)) {
                self.stop(BROKEN);
                break;
            }
        }
        self.barrier(threads);
        if thread == 0 && self.outcome() == DONE {
            self.next.store(0, SeqCst);
            if self.cancelled() {
                self.stop(CANCELLED);
            } else if !survives(conclude) {
                self.stop(BROKEN);
            }
        }
        self.barrier(threads);
        self.outcome() == DONE
    }
}
