//! The word that somebody may have meant.

/// The nearest of `known`, if any is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near_max = word.chars().count().div_ceil(2);
    let found = known.into_iter().map(|k| (distance(word, k), k)).min_by_key(|(d, _)| *d);
    found.filter(|(d, _)| *d <= near_max).map(|(_, k)| k)
}

/// Letters to be put in, taken away or changed: the distance of Levenshtein, row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances_are_the_known_ones() {
        for (a, b, expect) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expect, expect), "{a} {b}");
        }
    }

    #[test]
    fn what_is_far_from_everything_has_no_nearest() {
        let known = ["services", "mounts", "ids"];
        assert_eq!(nearest("servces", known), Some("services"));
        assert_eq!(nearest("mount", known), Some("mounts"));
        assert_eq!(nearest("id", known), Some("ids"));
        assert_eq!(nearest("environment", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
