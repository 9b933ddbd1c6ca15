//! The umask of a process, remembered from call to call: to ask for it costs more than to make a file.

use std::sync::atomic::{AtomicU32, Ordering};

/// Nobody has asked yet.
const UNKNOWN: u32 = u32::MAX;
/// It is shared with others, or was changed while another thread ran: it is asked for each time.
const UNSURE: u32 = u32::MAX - 1;

/// What is known of a process' umask.
#[derive(Debug)]
pub(crate) struct Umask(AtomicU32);

impl Default for Umask {
    fn default() -> Self {
        Self(AtomicU32::new(UNKNOWN))
    }
}

impl Umask {
    /// That of a child: fork(2) copies it.
    pub(crate) fn of_child(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Acquire)))
    }

    /// umask(2) is called, by a process that has `is_alone` one thread.
    pub(crate) fn set(&self, mask: u32, is_alone: bool) {
        if !is_alone {
            return self.share();
        }
        let was_sure = self.0.load(Ordering::Acquire) != UNSURE;
        if was_sure {
            self.0.store(mask & 0o777, Ordering::Release);
        }
    }

    /// Others may change it from here on.
    pub(crate) fn share(&self) {
        self.0.store(UNSURE, Ordering::Release);
    }

    /// The umask: what is remembered, else the answer of `ask`.
    pub(crate) fn get(&self, ask: impl FnOnce() -> Option<u32>) -> Option<u32> {
        let known = self.0.load(Ordering::Acquire);
        if known < UNSURE {
            return Some(known);
        }
        let mask = ask()?;
        // What was changed meanwhile is not overwritten.
        let _ = self.0.compare_exchange(UNKNOWN, mask, Ordering::AcqRel, Ordering::Acquire);
        Some(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::Umask;

    #[test]
    fn it_is_asked_for_once_and_known_after_umask() {
        let umask = Umask::default();
        assert_eq!(umask.get(|| Some(0o22)), Some(0o22));
        assert_eq!(umask.get(|| None), Some(0o22));
        umask.set(0o7077, true);
        assert_eq!(umask.of_child().get(|| None), Some(0o77));
    }

    #[test]
    fn one_that_others_may_change_is_asked_for_each_time() {
        let umask = Umask::default();
        umask.set(0o22, false);
        assert_eq!(umask.get(|| Some(0o27)), Some(0o27));
        umask.set(0o22, true);
        assert_eq!(umask.get(|| Some(0o77)), Some(0o77));
        assert_eq!(umask.of_child().get(|| None), None);
    }

    #[test]
    fn a_change_while_it_is_asked_for_counts() {
        let umask = Umask::default();
        let ask = || {
            umask.set(0o77, true);
            Some(0o22)
        };
        assert_eq!(umask.get(ask), Some(0o22));
        assert_eq!(umask.get(|| None), Some(0o77));
    }
}
