//! Images of other tools with damaged structures: an answer comes in five seconds of computing, within 16 MiB, and
//! nothing is written outside the image.
//!
//! Each fixture gives 16 images, or as many as `VIEWOS_FUZZ_IMAGES` says.

mod disks;
mod measure;
mod views;
mod volumes;
