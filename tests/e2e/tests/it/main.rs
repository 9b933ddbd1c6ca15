//! Programs in views, one module a subject. Each test says for which engines and users.

mod accelerator;
mod attach;
mod block_devices;
mod clocks;
mod debuggers;
mod descriptors;
mod disk_tools;
mod examples;
mod file_times;
mod formats;
mod forms;
mod ids;
mod killed;
mod life;
mod mounts;
mod names;
mod nested;
mod ordinary;
mod overlays;
mod packages;
mod services;
mod slides;
mod sockets;
mod specials;
mod terminal;
mod time_peers;
