//! The threads of a session: they live as long as it does, and sleep between runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// What a thread does in a run; it gets its number.
type Job = Arc<dyn Fn(usize) + Send + Sync>;

#[derive(Default)]
struct State {
    /// Counts the runs.
    run: u64,
    job: Option<Job>,
    working: usize,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    begin: Condvar,
    done: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, thread: usize) {
        let mut seen = 0;
        let mut state = self.state();
        loop {
            while state.run == seen && !state.ended {
                state = self.begin.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended {
                return;
            }
            seen = state.run;
            let job = state.job.clone();
            drop(state);
            if let Some(job) = job {
                job(thread);
            }
            state = self.state();
            state.working -= 1;
            if state.working == 0 {
                self.done.notify_all();
            }
        }
    }
}

pub struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// `count` threads, of which the caller of `run` is one.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let mut threads = Self { shared: Arc::default(), handles: Vec::new() };
        for thread in 1..count {
            let shared = threads.shared.clone();
            let handle = Builder::new().name(format!("meshfl-{thread}")).spawn(move || shared.work(thread))?;
            threads.handles.push(handle);
        }
        Ok(threads)
    }

    /// Runs the job in every thread, and returns when all have returned. The job does not panic.
    pub fn run(&self, job: Job) {
        {
            let mut state = self.shared.state();
            state.run += 1;
            state.job = Some(job.clone());
            state.working = self.handles.len();
        }
        self.shared.begin.notify_all();
        job(0);
        let mut state = self.shared.state();
        while state.working > 0 {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.job = None;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.begin.notify_all();
        for handle in self.handles.drain(..) {
            // A thread that panicked has nothing left to say.
            let _ = handle.join();
        }
    }
}
