//! What was done to a stage, as the history of its image tells it.

use std::rc::Rc;

use crate::image::History;

/// The history of a stage. What came before a stage is shared with all that start from the same, so that a long chain
/// of stages does not copy it at every link.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    before: Vec<Rc<Vec<History>>>,
    own: Vec<History>,
}

impl Past {
    pub(crate) fn push(&mut self, entry: History) {
        self.own.push(entry);
    }

    /// Adds what a base image tells of itself.
    pub(super) fn extend(&mut self, entries: Vec<History>) {
        self.own.extend(entries);
        self.close();
    }

    /// Lets other stages share it from here on.
    pub(super) fn close(&mut self) {
        if !self.own.is_empty() {
            self.before.push(Rc::new(std::mem::take(&mut self.own)));
        }
    }

    /// All of it, from the beginning.
    pub(crate) fn into_entries(self) -> Vec<History> {
        let mut entries = Vec::new();
        for part in self.before {
            entries.extend(Rc::unwrap_or_clone(part));
        }
        entries.extend(self.own);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> History {
        History {
            created_by: text.into(),
            ..History::default()
        }
    }

    #[test]
    fn stages_go_on_from_what_they_share() {
        let mut base = Past::default();
        base.extend(vec![entry("a")]);
        base.push(entry("b"));
        base.close();
        let mut other = base.clone();
        base.push(entry("c"));
        other.push(entry("d"));
        let told = |past: Past| -> Vec<String> {
            past.into_entries()
                .into_iter()
                .map(|entry| entry.created_by)
                .collect()
        };
        assert_eq!(told(base), ["a", "b", "c"]);
        assert_eq!(told(other), ["a", "b", "d"]);
    }
}
