//! What a case may take.

use fuzz::Overlay;
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Computing time: how busy the machine is does not matter.
const TIME_MAX: Duration = Duration::from_secs(5);
const MEMORY_MAX: usize = 16 << 20;

/// One case at a time: memory is counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn time() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread has a clock");
    now.into()
}

/// Runs a case over a device, whose own memory does not count; its name goes into the message of a failure.
///
/// # Panics
/// If it takes too long or too much memory.
pub(crate) fn bounded(name: &str, device: &Overlay, case: impl FnOnce()) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    MEMORY.reset_peak_usage();
    let (memory, begin) = (MEMORY.current_usage(), time());
    case();
    let took = time() - begin;
    let bytes = MEMORY.peak_usage().saturating_sub(memory + device.held_bytes());
    assert!(took < TIME_MAX, "{name} took {took:?}");
    assert!(bytes < MEMORY_MAX, "{name} took {bytes} bytes of memory");
    if std::env::var_os("VIEWOS_FUZZ_REPORT").is_some() {
        eprintln!("REPORT {} {} {name}", took.as_micros(), bytes >> 10);
    }
}
