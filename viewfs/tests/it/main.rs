//! Overlays through their public interface.

mod fixture;
mod kernel;
mod model;
mod modes;
mod random;
