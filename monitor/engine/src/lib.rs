//! The fence.
