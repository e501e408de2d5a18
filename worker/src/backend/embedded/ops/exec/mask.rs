//! What a step prints, without the secrets it was given.
//!
//! It guards against mistakes, not against a step that wants to tell: that can print a secret backwards.

use std::collections::BTreeSet;

use crate::source::secret::Secret;

/// What stands in the place of a secret.
const STARS: &[u8] = b"***";

/// Shorter secrets are not looked for: they are words that stand in any log.
const MIN_LENGTH: usize = 4;

/// Shorter lines of a secret with several are not looked for by themselves.
const MIN_LINE: usize = 8;

/// Replaces secrets in one stream of output, also where they arrive in pieces.
#[derive(Clone)]
pub(super) struct Mask {
    /// What to look for, the longest first.
    secrets: Vec<Vec<u8>>,
    /// Whether one begins with that byte.
    begins: [bool; 256],
    /// The end of what was printed, where a secret may have begun.
    held: Vec<u8>,
}

impl Mask {
    /// A mask for these values, and for the lines of those that have several, such as keys.
    pub(super) fn new(values: &[Secret]) -> Self {
        let mut wanted = BTreeSet::new();
        for value in values {
            let whole = value.reveal().trim_ascii();
            if whole.len() >= MIN_LENGTH {
                wanted.insert(whole.to_vec());
            }
            let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            wanted.extend(lines.filter(|line| line.len() >= MIN_LINE).map(<[u8]>::to_vec));
        }
        let mut begins = [false; 256];
        for first in wanted.iter().filter_map(|secret| secret.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*first)) {
                *begins = true;
            }
        }
        let mut secrets: Vec<Vec<u8>> = wanted.into_iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            secrets,
            begins,
            held: Vec::new(),
        }
    }

    /// What can be shown now that `data` was printed too.
    pub(super) fn push(&mut self, data: Vec<u8>) -> Vec<u8> {
        if self.secrets.is_empty() {
            return data;
        }
        self.held.extend_from_slice(&data);
        self.show(false)
    }

    /// What was held back, once nothing more is printed.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.show(true)
    }

    fn show(&mut self, ended: bool) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        let mut shown = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some((byte, after)) = rest.split_first() {
            let mut here = None;
            if self.begins.get(usize::from(*byte)).is_some_and(|begins| *begins) {
                // A longer one may still become of what is there, so a shorter one that is there waits for it.
                let may_go_on = |secret: &Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
                if !ended && self.secrets.iter().any(may_go_on) {
                    self.held = rest.to_vec();
                    break;
                }
                here = self.secrets.iter().find(|secret| rest.starts_with(secret));
            }
            if let Some(secret) = here {
                shown.extend_from_slice(STARS);
                rest = rest.get(secret.len()..).unwrap_or_default();
            } else {
                shown.push(*byte);
                rest = after;
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&str], pieces: &[&str]) -> String {
        let values: Vec<Secret> = values
            .iter()
            .map(|value| Secret::new(value.as_bytes().to_vec()))
            .collect();
        let mut mask = Mask::new(&values);
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend(mask.push(piece.as_bytes().to_vec()));
        }
        shown.extend(mask.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_hidden_however_it_arrives() {
        let text = "login hunter2\nhunter2hunter2 hunter1";
        let expected = "login ***\n****** hunter1";
        assert_eq!(masked(&["hunter2\n"], &[text]), expected);
        for at in 0..text.len() {
            let (one, other) = text.split_at(at);
            assert_eq!(masked(&["hunter2\n"], &[one, other]), expected, "in two at {at}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(masked(&["hunter2\n"], &letters), expected);
    }

    #[test]
    fn the_longer_of_two_is_hidden_whole_and_what_only_begins_like_one_is_shown() {
        assert_eq!(
            masked(&["pass", "password"], &["pass", "word passage pas"]),
            "*** ***age pas"
        );
        assert_eq!(masked(&["pass", "password"], &["passwo"]), "***wo");
    }

    #[test]
    fn lines_of_a_key_are_hidden_one_by_one_and_short_words_are_left() {
        let key = "-----BEGIN-----\nabcdefgh\nxy\n-----END-----\n";
        assert_eq!(
            masked(&[key, "no"], &["1: abcdefgh, 2: xy, no"]),
            "1: ***, 2: xy, no"
        );
    }
}
