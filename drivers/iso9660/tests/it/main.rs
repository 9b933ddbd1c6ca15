//! The driver by its public API, on images of independent writers and on images made byte by byte.

mod device;
mod fixtures;




mod tree;


