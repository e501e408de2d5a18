//! What of a context is sent: the walk from the top, with what was said of a folder carried down into it.

use serde::{Deserialize, Serialize};

use super::{Ignore, Rule};

/// Something in a build context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'e> {
    /// Its path from the context's root, with `/` between names and none in front.
    pub path: &'e str,
    /// Whether it is a folder.
    pub folder: bool,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether it is sent.
    pub enters: bool,
    /// Whether the rules keep it out. A folder that they keep out is sent all the same where something in it is.
    pub ignored: bool,
    /// The rule that had the last word, by index into [`Ignore::rules`]; `None` where none says anything of it.
    pub rule: Option<usize>,
}

/// What the walk found of one entry, and needs to know for those in it.
#[derive(Debug, Clone)]
pub struct Looked {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Which rules matched it.
    matched: Vec<bool>,
    closed: bool,
}

impl Looked {
    /// Whether it is a folder that nothing is let in from, so that nobody need look into it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A folder on the way down.
struct Folder<'e> {
    path: &'e str,
    /// Its place among the entries, where it is one of them.
    entry: Option<usize>,
    looked: Looked,
}

impl Ignore {
    /// What is sent of a context that has `entries`; the verdicts are in their order, which may be any.
    ///
    /// Folders that only the paths of other entries speak of are there as well.
    pub fn walk(&self, entries: &[Entry<'_>]) -> Vec<Verdict> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        let path = |index: &usize| entries.get(*index).map_or("", |entry| entry.path);
        // A folder's content follows it at once.
        order.sort_by(|left, right| path(left).split('/').cmp(path(right).split('/')));
        let unknown = Verdict {
            enters: true,
            ignored: false,
            rule: None,
        };
        let mut verdicts = vec![unknown; entries.len()];
        let mut open: Vec<Folder<'_>> = Vec::new();
        for index in order {
            let Some(entry) = entries.get(index) else { continue };
            while open
                .last()
                .is_some_and(|folder| !is_within(entry.path, folder.path))
            {
                open.pop();
            }
            let known = open.last().map_or(0, |folder| folder.path.len() + 1);
            let deeper = entry.path.get(known..).unwrap_or_default();
            for (place, _) in deeper.match_indices('/') {
                let path = entry.path.get(..known + place).unwrap_or_default();
                let looked = self.look(path, true, open.last().map(|folder| &folder.looked));
                open.push(Folder {
                    path,
                    entry: None,
                    looked,
                });
            }
            let looked = self.look(entry.path, entry.folder, open.last().map(|folder| &folder.looked));
            if let Some(place) = verdicts.get_mut(index) {
                *place = looked.verdict;
            }
            if looked.verdict.enters {
                for folder in open.iter_mut().rev() {
                    if std::mem::replace(&mut folder.looked.verdict.enters, true) {
                        break;
                    }
                    if let Some(verdict) = folder.entry.and_then(|entry| verdicts.get_mut(entry)) {
                        verdict.enters = true;
                    }
                }
            }
            if entry.folder {
                open.push(Folder {
                    path: entry.path,
                    entry: Some(index),
                    looked,
                });
            }
        }
        verdicts
    }

    /// One step of the walk: compares a path with the rules; those that matched the folder it is in match it too.
    /// `folder` is what was found of that folder, or `None` at the root.
    ///
    /// Whoever walks by this sends a folder that is kept out as soon as something in it is sent.
    pub fn look(&self, path: &str, is_folder: bool, folder: Option<&Looked>) -> Looked {
        let mut looked = Looked {
            verdict: Verdict {
                enters: false,
                ignored: true,
                rule: None,
            },
            matched: Vec::new(),
            closed: true,
        };
        if let Some(folder) = folder.filter(|folder| folder.closed) {
            looked.verdict.rule = folder.verdict.rule;
            return looked;
        }
        let verdict = &mut looked.verdict;
        verdict.ignored = false;
        looked.matched = vec![false; self.rules.len()];
        let rules = self.rules.iter().zip(&self.matchers).enumerate();
        for ((index, (rule, matcher)), matched) in rules.zip(&mut looked.matched) {
            let inherited = folder.is_some_and(|folder| folder.matched.get(index) == Some(&true));
            // A rule that could change nothing is not looked at, so that it does not count further down either.
            *matched = inherited || (rule.negated == verdict.ignored && matcher.matches(path));
            if *matched {
                if verdict.ignored == rule.negated {
                    verdict.rule = Some(index);
                }
                verdict.ignored = !rule.negated;
            }
        }
        verdict.enters = !verdict.ignored;
        looked.closed = looked.verdict.ignored && is_folder && self.closes(path);
        looked
    }

    /// Whether no rule could let in anything below `folder`, as far as that can be told from how the rules begin. It
    /// is told so in the reference as well, which finds no exception below a folder that it does not go into.
    fn closes(&self, folder: &str) -> bool {
        let mut exceptions = self.rules.iter().filter(|rule| rule.negated).map(beginning);
        let leads_in = |begin: &str| is_within(begin, folder) || begin == folder;
        !exceptions.any(|begin| begin.contains(['*', '[', ']', '?', '^', '\\']) || leads_in(begin))
    }
}

/// A pattern without the `/**` and the `/*` at its end.
fn beginning(rule: &Rule) -> &str {
    let pattern = rule.pattern.as_str();
    let pattern = pattern.strip_suffix("/**").unwrap_or(pattern);
    pattern.strip_suffix("/*").unwrap_or(pattern)
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths that end in `/` are folders; gives those that are sent.
    fn sent<'p>(rules: &str, paths: &[&'p str]) -> Vec<&'p str> {
        let entries: Vec<Entry<'_>> = paths
            .iter()
            .map(|path| Entry {
                path: path.trim_end_matches('/'),
                folder: path.ends_with('/'),
            })
            .collect();
        let verdicts = Ignore::parse(rules).0.walk(&entries);
        let sent = paths.iter().zip(verdicts).filter(|(_, verdict)| verdict.enters);
        sent.map(|(path, _)| *path).collect()
    }

    #[test]
    fn what_kept_a_folder_out_keeps_out_what_is_in_it() {
        let paths = ["a/", "a-b", "a/b/", "a/b/c", "d"];
        assert_eq!(sent("a", &paths), ["a-b", "d"]);
        assert_eq!(sent("*/b", &paths), ["a/", "a-b", "d"]);
    }

    #[test]
    fn folder_is_sent_for_what_is_let_in_again() {
        let paths = ["a/", "a/b/", "a/b/c", "a/b/d", "a/e"];
        assert_eq!(sent("a\n!a/b/c", &paths), ["a/", "a/b/", "a/b/c"]);
        assert_eq!(sent("**\n!**/d", &paths), ["a/", "a/b/", "a/b/d"]);
        assert_eq!(sent("a\n!a/b/c", &["a/b/c", "a/e"]), ["a/b/c"]);
    }

    #[test]
    fn walk_and_question_differ_where_nothing_had_kept_a_folder_out() {
        assert!(!Ignore::parse("a/b\n!a").0.ignores("a/b"));
        assert_eq!(sent("a/b\n!a", &["a/", "a/b"]), ["a/"]);
    }

    #[test]
    fn nobody_goes_into_a_folder_where_no_exception_begins() {
        // The exception names x/y/z by a pattern, but is known by d alone, which is elsewhere.
        assert_eq!(sent("d\n!d/*/**", &["d/", "d/x/", "d/x/y"]), Vec::<&str>::new());
        assert_eq!(
            sent("d\n!d/**", &["d/", "d/x/", "d/x/y"]),
            ["d/", "d/x/", "d/x/y"]
        );
    }

    #[test]
    fn verdicts_name_the_rule() {
        let ignore = Ignore::parse("a\n!a/b").0;
        let entry = |path, folder| Entry { path, folder };
        let verdicts = ignore.walk(&[
            entry("a", true),
            entry("a/b", false),
            entry("a/c", false),
            entry("d", false),
        ]);
        let rules: Vec<_> = verdicts
            .iter()
            .map(|verdict| (verdict.enters, verdict.ignored, verdict.rule))
            .collect();
        assert_eq!(
            rules,
            [
                (true, true, Some(0)),
                (true, false, Some(1)),
                (false, true, Some(0)),
                (true, false, None)
            ]
        );
    }
}
