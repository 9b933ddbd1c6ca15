//! The table against sources that others made: the kernel's header and the kernel's prototypes.

mod completeness;
mod shape;
