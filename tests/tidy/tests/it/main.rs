//! The rules, one module a subject.

mod crates;
mod documents;
mod fence;
mod names;
mod sources;
mod tests;

/// Fails with every complaint, or passes if there is none.
fn none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
