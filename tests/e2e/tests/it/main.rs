//! Programs in views, one module a subject. Each test says for which engines and users.

mod attach;
mod descriptors;
mod forms;
mod ids;
mod life;
mod mounts;
mod nested;
mod ordinary;
mod services;
