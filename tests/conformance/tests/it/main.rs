//! Suites of others, natively and in views.

mod images;
mod python;
