//! The name walk against the kernel's.

mod places;
mod same;
