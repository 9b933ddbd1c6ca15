//! Threads for work that may wait, and the watch over threads that wait longer than they should.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle thread stays before it ends.
const IDLE_SECONDS_MAX: u64 = 10;

/// As many threads as there are jobs that wait; idle ones are used again.
pub(crate) struct Pool {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), wake: Condvar::new() }
    }

    /// Runs `job` on another thread, without delay: a thread is made where none is idle.
    pub(crate) fn run(self: &std::sync::Arc<Self>, job: Job) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.wake.notify_one();
            return;
        }
        drop(state);
        let pool = std::sync::Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("view-worker".into())
            .stack_size(1 << 20)
            .spawn(move || pool.work());
        if let Err(error) = spawned {
            // The job stays queued and a busy thread takes it when it is done.
            tracing::error!(%error, "no thread for a waiting call");
        }
    }

    fn work(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.idle += 1;
            let (next, timeout) = self
                .wake
                .wait_timeout(state, Duration::from_secs(IDLE_SECONDS_MAX))
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                return;
            }
        }
    }
}
