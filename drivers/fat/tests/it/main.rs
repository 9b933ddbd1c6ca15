//! Tests of the FAT driver through its public API, with dosfstools and mtools as judges.

mod device;
mod fixtures;

mod semantics;
mod tools;
mod volume;
