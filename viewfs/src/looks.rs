//! What was seen of names in one call of a program: a call comes past the same few names several times, to find them,
//! to check them and to change them, and nobody is asked twice unless something was changed in between.
//!
//! A look is good for the thread that took it, until the call is over: what others do to a tree during a call has no
//! better claim to either answer, and what they did before counts for the next.

use crate::overlay::Resolved;
use abi::Result;
use cow_store::Stat;
use std::cell::RefCell;

/// More names are not remembered: no call has as many.
const LOOKS_MAX: usize = 16;

/// What an answer is to.
#[derive(PartialEq, Eq)]
pub(crate) struct Question<'a> {
    /// Which overlay was asked.
    pub(crate) overlay: usize,
    /// How many changes it had seen.
    pub(crate) changes: u64,
    pub(crate) path: &'a [u8],
    pub(crate) at: &'a Resolved,
}

struct Look {
    overlay: usize,
    changes: u64,
    path: Vec<u8>,
    at: Resolved,
    answer: Result<Stat>,
}

thread_local! {
    static LOOKS: RefCell<Option<Vec<Look>>> = const { RefCell::new(None) };
}

/// Looks are remembered as long as this lives, on this thread.
#[derive(Debug)]
pub struct OneCall(());

impl OneCall {
    /// A call begins that comes past names of overlays and changes no data.
    #[must_use]
    pub fn begin() -> Self {
        LOOKS.with_borrow_mut(|looks| *looks = Some(Vec::new()));
        Self(())
    }
}

impl Drop for OneCall {
    fn drop(&mut self) {
        LOOKS.with_borrow_mut(|looks| *looks = None);
    }
}

/// The answer that was given before in this call.
pub(crate) fn remembered(question: &Question<'_>) -> Option<Result<Stat>> {
    LOOKS.with_borrow(|looks| {
        let same = |look: &&Look| {
            let Look { overlay, changes, path, at, .. } = look;
            *question == Question { overlay: *overlay, changes: *changes, path, at }
        };
        looks.as_ref()?.iter().find(same).map(|look| look.answer)
    })
}

/// Keeps an answer to the end of the call.
pub(crate) fn remember(question: &Question<'_>, answer: Result<Stat>) {
    LOOKS.with_borrow_mut(|looks| {
        if let Some(looks) = looks.as_mut().filter(|looks| looks.len() < LOOKS_MAX) {
            let &Question { overlay, changes, path, at } = question;
            looks.push(Look { overlay, changes, path: path.to_vec(), at: at.clone(), answer });
        }
    });
}
