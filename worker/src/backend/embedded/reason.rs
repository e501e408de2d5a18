//! Why a step runs, or need not: one sentence, and only what is known for certain.

use std::collections::BTreeMap;

use stagewright_core::digest::Digest;
use stagewright_core::protocol::BuildId;

use super::cache::{Cache, LastSeen};
use super::key::{InputFact, Key};

/// What may be compared to find out which files of a context changed: the listing of a use of an input in the
/// context with that id; `None` where that context is not known any more.
pub(crate) type Listing<'a> = &'a dyn Fn(usize, &Digest) -> Option<BTreeMap<String, Digest>>;

/// The names under which a step is remembered between builds of one title.
pub(crate) struct Identity {
    /// The same instruction, wherever it stands.
    instruction: Digest,
    /// The same place, whatever the instruction.
    place: Option<Digest>,
}

impl Identity {
    /// Of the step called `name`, which does `own`, in a build called `title`.
    pub(crate) fn new(title: &str, name: &str, own: &Digest) -> Self {
        let place = name
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .map(|(place, _)| {
                // The number of steps in `2/5` changes with every step that is added elsewhere.
                let place = place.split_once('/').map_or(place, |(before, _)| before);
                Digest::of(format!("place\0{title}\0{place}").as_bytes())
            });
        Self {
            instruction: Digest::of(format!("instruction\0{title}\0{name}\0{own}").as_bytes()),
            place,
        }
    }

    /// How the step last looked, and whether it was the same instruction.
    pub(crate) fn last_seen(&self, cache: &Cache) -> Option<(LastSeen, bool)> {
        let same = cache.last_seen(&self.instruction).map(|last| (last, true));
        same.or_else(|| cache.last_seen(self.place.as_ref()?).map(|last| (last, false)))
    }

    /// What to remember of the step.
    pub(crate) fn seen(&self, build: &BuildId, key: &Key) -> Vec<(Digest, LastSeen)> {
        let last = LastSeen {
            build: build.clone(),
            key: key.digest.clone(),
            own: key.own.clone(),
            inputs: key.inputs.clone(),
        };
        let names = [Some(&self.instruction), self.place.as_ref()];
        names
            .into_iter()
            .flatten()
            .map(|name| (name.clone(), last.clone()))
            .collect()
    }
}

/// Why a step came from the cache.
pub(crate) fn cached(key: &Key, made_by: &BuildId) -> String {
    let on = if key.inputs.is_empty() {
        ""
    } else {
        " on the same files"
    };
    format!("cached: the same instruction{on} as in build {made_by}")
}

/// Why a step has to run although results are looked for.
pub(crate) fn rerun(key: &Key, last: Option<(LastSeen, bool)>, listing: Listing<'_>) -> String {
    let Some((last, same_instruction)) = last else {
        return "first build of this step".to_owned();
    };
    let build = &last.build;
    if !same_instruction && last.own != key.own {
        return format!("rerun: the instruction changed since build {build}");
    }
    if last.key == key.digest {
        return format!("rerun: build {build} left no result of it that is still here");
    }
    if last.inputs.len() != key.inputs.len() {
        return format!("rerun: it works on other inputs than in build {build}");
    }
    let changed = key.inputs.iter().zip(&last.inputs).enumerate();
    let causes: Vec<String> = changed
        .filter(|(_, (now, before))| now.content != before.content || now.part != before.part)
        .map(|(index, (now, before))| cause(index, now, before, listing))
        .collect();
    match causes.as_slice() {
        [] => format!("rerun: the instruction changed since build {build}"),
        [first, ..] => format!("rerun: {first} since build {build}"),
    }
}

/// How one input differs.
fn cause(index: usize, now: &InputFact, before: &InputFact, listing: Listing<'_>) -> String {
    if let (Some(context), Some(earlier)) = (&now.context, &before.context)
        && let Some(changes) = listing(index, context)
            .zip(listing(index, earlier))
            .map(|(now, before)| differences(&now, &before))
        && !changes.is_empty()
    {
        return changes;
    }
    match (&now.part, &now.context) {
        (_, Some(_)) => "the build context changed".to_owned(),
        (Some(_), None) => format!("what it reads from {} changed", now.from),
        (None, None) => format!("what it starts from changed: {} gave other files", now.from),
    }
}

/// The names that differ between two listings, as the beginning of a sentence.
fn differences(now: &BTreeMap<String, Digest>, before: &BTreeMap<String, Digest>) -> String {
    let mut found: Vec<(String, &'static str)> = Vec::new();
    let mut note = |name: &str, verb: &'static str| {
        let name = if name.is_empty() { "the context" } else { name };
        found.push((name.to_owned(), verb));
    };
    for (name, digest) in now {
        match before.get(name) {
            None => note(name, "was added"),
            Some(other) if other != digest => note(name, "changed"),
            Some(_) => {}
        }
    }
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        note(name, "was removed");
    }
    let plural = |verb: &str| verb.replace("was ", "were ");
    let together = |first: &'static str| {
        let alike = found.iter().all(|(_, verb)| *verb == first);
        plural(if alike { first } else { "changed" })
    };
    match found.as_slice() {
        [] => String::new(),
        [(one, verb)] => format!("{one} {verb}"),
        [(one, verb), (two, other)] if verb != other => format!("{one} {verb} and {two} {other}"),
        [(one, verb), (two, _)] => format!("{one} and {two} {}", together(verb)),
        [(one, verb), (two, _), rest @ ..] => {
            format!("{one}, {two} and {} more {}", rest.len(), together(verb))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(from: &str, files: &str, context: Option<&str>) -> InputFact {
        InputFact {
            from: from.into(),
            content: Digest::of(files.as_bytes()),
            part: context.map(|_| "part".into()),
            context: context.map(|name| Digest::of(name.as_bytes())),
        }
    }

    fn key(own: &str, inputs: Vec<InputFact>) -> Key {
        Key::new(Digest::of(own.as_bytes()), inputs)
    }

    fn remembered(key: &Key) -> LastSeen {
        LastSeen {
            build: "3".into(),
            key: key.digest.clone(),
            own: key.own.clone(),
            inputs: key.inputs.clone(),
        }
    }

    fn listing_of(context: &Digest) -> BTreeMap<String, Digest> {
        let files: &[(&str, &str)] = if *context == Digest::of(b"new") {
            &[("app.go", "2"), ("go.mod", "1"), ("new.go", "1")]
        } else if *context == Digest::of(b"edited") {
            &[("app.go", "2"), ("go.mod", "1")]
        } else {
            &[("app.go", "1"), ("go.mod", "1")]
        };
        files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), Digest::of(content.as_bytes())))
            .collect()
    }

    fn reason(now: &Key, before: &Key, same: bool) -> String {
        rerun(now, Some((remembered(before), same)), &|_, context| {
            Some(listing_of(context))
        })
    }

    #[test]
    fn the_files_that_changed_are_named() {
        let base = fact("[2/3] WORKDIR /src", "base", None);
        let with = |content: &str, context: &str| {
            key(
                "copy",
                vec![
                    base.clone(),
                    fact("[internal] load build context", content, Some(context)),
                ],
            )
        };
        let before = with("1", "old");
        assert_eq!(
            reason(&with("2", "edited"), &before, true),
            "rerun: app.go changed since build 3"
        );
        assert_eq!(
            reason(&with("3", "new"), &before, true),
            "rerun: app.go changed and new.go was added since build 3"
        );
    }

    #[test]
    fn what_is_not_certain_is_not_said() {
        let one = |content: &str| key("run", vec![fact("[builder 3/5] COPY . .", content, None)]);
        assert_eq!(rerun(&one("1"), None, &|_, _| None), "first build of this step");
        assert_eq!(
            reason(&one("2"), &one("1"), true),
            "rerun: what it starts from changed: [builder 3/5] COPY . . gave other files since build 3"
        );
        assert_eq!(
            reason(&one("1"), &one("1"), true),
            "rerun: build 3 left no result of it that is still here"
        );
        assert_eq!(
            reason(&key("run that", vec![]), &key("run this", vec![]), false),
            "rerun: the instruction changed since build 3"
        );
    }
}
