//! Claims about what the commands say of themselves.

mod spelling;
