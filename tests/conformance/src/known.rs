//! The list of known differences.

use crate::{Cases, Difference, Setting};

/// The list: `CASE WHERE REASON`, a line each. WHERE is a setting; `*` stands for any word of it.
pub struct Known {
    entries: Vec<(String, String)>,
}

impl Known {
    /// Reads a list; a line that begins with `#` is a comment.
    ///
    /// # Panics
    /// If a line has no reason.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entries = lines.map(|line| {
            let mut words = line.splitn(3, ' ');
            let entry = (words.next(), words.next(), words.next());
            let (Some(case), Some(place), Some(_)) = entry else { panic!("no reason: {line:?}") };
            (case.to_owned(), place.to_owned())
        });
        Self { entries: entries.collect() }
    }

    /// Complaints about a run: unknown differences, and known ones of cases that ran and agree.
    #[must_use]
    pub fn judge(&self, setting: Setting, ran: &Cases, found: &[Difference]) -> Vec<String> {
        let here = setting.to_string();
        let here = self.entries.iter().filter(|(_, place)| covers(place, &here));
        let known: Vec<&str> = here.map(|(case, _)| case.as_str()).collect();
        let unknown = found.iter().filter(|d| !known.contains(&d.case.as_str()));
        let unknown = unknown.map(|d| {
            format!("{setting}: {}: {} natively, {} in the view", d.case, d.native, d.view)
        });
        let gone = known.iter().filter(|&&case| {
            ran.contains_key(case) && !found.iter().any(|difference| difference.case == case)
        });
        let gone = gone.map(|case| format!("{setting}: {case} agrees: take it from the list"));
        unknown.chain(gone).collect()
    }
}

fn covers(pattern: &str, setting: &str) -> bool {
    let (pattern, setting) = (pattern.split('-'), setting.split('-'));
    pattern.clone().count() == setting.clone().count()
        && pattern.zip(setting).all(|(p, s)| p == "*" || p == s)
}

#[cfg(test)]
mod tests {
    use super::Known;
    use crate::{Cases, Difference, Setting};
    use e2e::{Engine, User};

    const HERE: Setting = Setting::Unreal(Engine::Notify, User::Nobody);

    fn difference(case: &str) -> Difference {
        Difference { case: case.into(), native: "ok".into(), view: "FAIL".into() }
    }

    fn ran(names: &[&str]) -> Cases {
        names.iter().map(|&name| (name.to_owned(), "ok".to_owned())).collect()
    }

    #[test]
    fn only_what_is_listed_for_the_setting_may_differ() {
        let known = Known::read("# comment\na unreal-*-nobody why it is so\nb empty-*-* why\n");
        let found = [difference("a"), difference("b")];
        let complaints = known.judge(HERE, &ran(&["a", "b"]), &found);
        assert_eq!(complaints, ["unreal-notify-nobody: b: ok natively, FAIL in the view"]);
    }

    #[test]
    fn a_listed_case_that_agrees_is_complained_of_when_it_ran() {
        let known = Known::read("a *-*-* why\nc *-*-* why\n");
        let complaints = known.judge(HERE, &ran(&["a"]), &[]);
        assert_eq!(complaints, ["unreal-notify-nobody: a agrees: take it from the list"]);
    }
}
