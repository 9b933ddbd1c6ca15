//! The store through its public interface.

mod crash;
mod fixture;
mod interop;
mod operations;
