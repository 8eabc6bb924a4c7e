//! Memory and threads for one model on one grid: plan, fill in, run, read out.

use super::error::{Error, Status};
use super::memory::Memory;
use super::threads::Threads;
use crate::conv::MOST_CHANNELS;
use crate::isa::chosen::Isa;
use crate::plan::*;
use crate::request::*;
use crate::team::{Team, BAD_LABEL, CANCELLED, DONE};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

pub const MOST_THREADS: usize = 256;
const MOST_CLASSES: u32 = 128;
/// Voxels of a batch: far beyond any memory, and far from overflow.
const MOST_VOXELS: u128 = 1 << 40;

pub struct Session {
    isa: Isa,
    threads: Threads,
    thread_count: usize,
    team: Arc<Team>,
    cancelled: AtomicBool,
    held: Mutex<Held>,
}

struct Held {
    memory: Memory,
    plan: Option<Box<Plan>>,
}

impl Session {
    pub fn create(isa: Isa, threads: usize) -> Result<Self, Error> {
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(Error::invalid(format!("{threads} threads: there can be 1 to {MOST_THREADS}")));
        }
        let started = Threads::start(threads).map_err(|error| Error {
            status: Status::OutOfMemory,
            message: format!("cannot start {threads} threads: {error}"),
        })?;
        let held = Mutex::new(Held { memory: Memory::empty(), plan: None });
        Ok(Self {
            isa,
            threads: started,
            thread_count: threads,
            team: Arc::new(Team::new()),
            cancelled: AtomicBool::new(false),
            held,
        })
    }

    /// Bytes that a run takes.
    pub fn plan(&self, request: &Request) -> Result<u64, Error> {
        Ok(self.laid_out(request)?.offset(Region::End))
    }

    /// Lays out the memory for a run, and makes it that large. What it held is lost.
    pub fn prepare(&self, request: &Request) -> Result<(), Error> {
        let plan = self.laid_out(request)?;
        let bytes = plan.offset(Region::End);
        let mut held = self.held()?;
        held.plan = None;
        let there = usize::try_from(bytes).is_ok_and(|bytes| held.memory.reserve(bytes));
        if !there {
            return Err(Error { status: Status::OutOfMemory, message: format!("the system has no {bytes} bytes") });
        }
        held.plan = Some(Box::new(plan));
        self.cancelled.store(false, SeqCst);
        Ok(())
    }

    /// # Safety
    /// `from` holds `bytes` bytes.
    pub unsafe fn write(&self, region: u32, from: *const u8, bytes: usize) -> Result<(), Error> {
        let held = self.held()?;
        let to = held.region(region, bytes)?;
        std::ptr::copy_nonoverlapping(from, to, bytes);
        Ok(())
    }

    /// # Safety
    /// `to` has room for `bytes` bytes.
    pub unsafe fn read(&self, region: u32, to: *mut u8, bytes: usize) -> Result<(), Error> {
        let held = self.held()?;
        let from = held.region(region, bytes)?;
        std::ptr::copy_nonoverlapping(from, to, bytes);
        Ok(())
    }

    /// Runs what was prepared, in all threads; the caller is one of them.
    pub fn run(&self) -> Result<(), Error> {
        let held = self.held()?;
        let plan = held.planned()?;
        self.team.reset();
        if self.cancelled.load(SeqCst) {
            self.team.cancel.store(1, SeqCst);
        }
        let (isa, base, team) = (self.isa, held.memory.address(), self.team.clone());
        let plan = *plan;
        let outcome = Arc::new(AtomicU32::new(DONE));
        let ended = outcome.clone();
        self.threads.run(Arc::new(move |thread| {
            let outcome = unsafe { isa.run(&plan, base, &team, thread) };
            if thread == 0 {
                ended.store(outcome, SeqCst);
            }
        }));
        match outcome.load(SeqCst) {
            DONE => Ok(()),
            CANCELLED => Err(Error { status: Status::Cancelled, message: "the run was cancelled".into() }),
            BAD_LABEL => Err(Error { status: Status::BadLabel, message: "a label is not a class".into() }),
            _ => Err(Error { status: Status::Internal, message: "a thread of the kernels panicked".into() }),
        }
    }

    /// Stops what was prepared, whether it has begun or not; from any thread.
    pub fn cancel(&self) {
        self.cancelled.store(true, SeqCst);
        self.team.cancel.store(1, SeqCst);
    }

    fn held(&self) -> Result<MutexGuard<'_, Held>, Error> {
        match self.held.try_lock() {
            Ok(held) => Ok(held),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Error { status: Status::Busy, message: "the session is running".into() }),
        }
    }

    fn laid_out(&self, request: &Request) -> Result<Plan, Error> {
        check(request)?;
        if !self.isa.computes(request.precision) {
            let message = format!("{} does not compute in that precision", self.isa.name());
            return Err(Error { status: Status::Unsupported, message });
        }
        Ok(self.isa.plan(&Request { threads: self.thread_count as u32, ..*request }))
    }
}

impl Held {
    fn planned(&self) -> Result<&Plan, Error> {
        self.plan.as_deref().ok_or_else(|| Error::invalid("nothing was prepared".into()))
    }

    /// Where a region begins, for a caller who has exactly its bytes.
    fn region(&self, region: u32, bytes: usize) -> Result<*mut u8, Error> {
        let expected = self
            .planned()?
            .host_bytes()
            .get(region as usize)
            .copied()
            .ok_or_else(|| Error::invalid(format!("there is no region {region}")))?;
        if expected != bytes as u64 {
            return Err(Error::invalid(format!("region {region} has {expected} bytes, not {bytes}")));
        }
        Ok((self.memory.address() + self.planned()?.at[region as usize] as usize) as *mut u8)
    }
}

fn check(r: &Request) -> Result<(), Error> {
    let within = |what: &str, value: u32, low: u32, high: u32| match value {
        value if (low..=high).contains(&value) => Ok(()),
        _ => Err(Error::invalid(format!("{what} is {value}: it can be {low} to {high}"))),
    };
    within("mode", r.mode, FORWARD, TRAIN)?;
    within("channels", r.channels, 1, MOST_CHANNELS as u32)?;
    within("classes", r.classes, 2, MOST_CLASSES)?;
    within("blocks", r.blocks, 1, MAX_BLOCKS as u32)?;
    within("precision", r.precision, FP32, BF16)?;
    within("activation", r.activation, ELU, GELU)?;
    within("normalization", r.normalization, BATCH_NORM, NO_NORM)?;
    for (what, flag) in
        [("convolution_bias", r.convolution_bias), ("float_images", r.float_images), ("want_logits", r.want_logits)]
    {
        within(what, flag, 0, 1)?;
    }
    for (what, edge) in [("volumes", r.volumes), ("depth", r.depth), ("height", r.height), ("width", r.width)] {
        within(what, edge, 1, i32::MAX as u32)?;
    }
    for &dilation in &r.dilations[..r.blocks as usize] {
        within("a dilation", dilation, 1, 1 << 16)?;
    }
    if r.mode == TRAIN && r.normalization == INSTANCE_NORM {
        return Err(Error::invalid("models with instance normalisation do not train".into()));
    }
    let voxels = [r.volumes, r.depth, r.height, r.width].iter().map(|&edge| u128::from(edge)).product::<u128>();
    if voxels > MOST_VOXELS {
        return Err(Error::invalid(format!("a batch of {voxels} voxels")));
    }
    Ok(())
}
