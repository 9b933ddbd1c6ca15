//! Programs in views, one module a subject. Each test says for which engines and users.

mod accelerator;
mod activity;
mod attach;
mod clocks;
mod debuggers;
mod descriptors;
mod formats;
mod forms;
mod ids;
mod life;
mod mounts;
mod names;
mod nested;
mod ordinary;
mod overlays;
mod packages;
mod profiles;
mod readme;
mod services;
mod slides;
mod sockets;
mod terminal;
mod trial;
