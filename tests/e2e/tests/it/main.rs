//! Programs in views, one module a subject. Each test says for which engines and users.

mod accelerator;
mod attach;
mod clocks;
mod debuggers;
mod descriptors;
mod formats;
mod forms;
mod ids;
mod layers;
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
