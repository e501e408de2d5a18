//! What was pushed, as it is told.

use serde::Deserialize;

use crate::config::HookKind;
use crate::source::git::is_commit;

/// The longest name of a branch or tag.
const LONGEST: usize = 255;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing that anything could be built of, and why.
    Nothing(String),
    Push {
        /// In full, such as `refs/heads/main`.
        reference: String,
        commit: Option<String>,
    },
}

/// GitHub's push event; what it has besides is not asked for.
#[derive(Debug, Deserialize)]
struct Github {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    head_commit: Option<HeadCommit>,
}

#[derive(Debug, Deserialize)]
struct HeadCommit {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    commit: Option<String>,
}

/// Reads the body of a message that was found to be signed. The error completes a sentence.
pub(super) fn read(kind: HookKind, event: &str, body: &[u8]) -> Result<Said, String> {
    match kind {
        HookKind::Github => match event {
            "ping" => Ok(Said::Nothing(
                "the hook is there, and the secret is right".to_owned(),
            )),
            "push" => github(body),
            other => Ok(Said::Nothing(format!(
                "events of the kind {other:?} build nothing; push does"
            ))),
        },
        HookKind::Plain => {
            let plain: Plain = json(body)?;
            let reference = if plain.reference.starts_with("refs/") {
                plain.reference
            } else {
                format!("refs/heads/{}", plain.reference)
            };
            push(reference, plain.commit)
        }
    }
}

fn github(body: &[u8]) -> Result<Said, String> {
    let push_event: Github = json(body)?;
    if push_event.deleted {
        return Ok(Said::Nothing(format!("{} was deleted", push_event.reference)));
    }
    // Of a tag that says more, what was pushed is the tag; its commit is the head.
    let commit = push_event.head_commit.map(|head| head.id).or(push_event.after);
    if commit.is_none() {
        return Err("it names no commit".to_owned());
    }
    push(push_event.reference, commit)
}

fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        if body.starts_with(b"payload=") {
            "it is a form, and has to be JSON: choose the content type application/json for the hook"
                .to_owned()
        } else {
            error.to_string()
        }
    })
}

/// Nothing of the two is handed to git before it was seen to be no option and no pattern.
fn push(reference: String, commit: Option<String>) -> Result<Said, String> {
    let rest = reference.strip_prefix("refs/").unwrap_or_default();
    let strange = |letter: char| letter.is_control() || letter.is_whitespace() || "~^:?*[\\".contains(letter);
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && part.strip_suffix(".lock").is_none()
    };
    let plain = reference.len() <= LONGEST
        && !rest.contains(strange)
        && !rest.contains("..")
        && !rest.contains("@{")
        && rest.split('/').count() > 1
        && rest.split('/').all(part);
    if !plain {
        return Err(format!("{reference:?} is no name of a branch or tag"));
    }
    let commit = match commit {
        None => None,
        Some(commit) if is_commit(&commit) => Some(commit.to_ascii_lowercase()),
        Some(commit) => return Err(format!("{commit:?} is no commit: it has 40 hexadecimal digits")),
    };
    Ok(Said::Push { reference, commit })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn github(event: &str, body: &serde_json::Value) -> Result<Said, String> {
        read(HookKind::Github, event, body.to_string().as_bytes())
    }

    fn pushed(reference: &str, commit: Option<&str>) -> Said {
        Said::Push {
            reference: reference.to_owned(),
            commit: commit.map(str::to_owned),
        }
    }

    #[test]
    fn pushes_are_read_as_github_and_others_tell_of_them() {
        let tag = "1123456789abcdef0123456789abcdef01234567";
        let body = json!({ "ref": "refs/heads/a/b", "after": COMMIT, "repository": {}, "commits": [] });
        assert_eq!(github("push", &body), Ok(pushed("refs/heads/a/b", Some(COMMIT))));
        let body = json!({ "ref": "refs/tags/v1", "after": tag, "head_commit": { "id": COMMIT } });
        assert_eq!(github("push", &body), Ok(pushed("refs/tags/v1", Some(COMMIT))));
        let plain = |text: &str| read(HookKind::Plain, "push", text.as_bytes());
        assert_eq!(plain(r#"{"ref":"main"}"#), Ok(pushed("refs/heads/main", None)));
        let body = json!({ "ref": "refs/tags/v1", "commit": COMMIT.to_uppercase() }).to_string();
        assert_eq!(plain(&body), Ok(pushed("refs/tags/v1", Some(COMMIT))));
    }

    #[test]
    fn what_builds_nothing_says_why() {
        let deleted = json!({ "ref": "refs/heads/a", "after": "0".repeat(40), "deleted": true });
        for (event, body, said) in [
            ("ping", json!({ "zen": "x" }), "is there"),
            ("issues", json!({}), "\"issues\""),
            ("push", deleted, "was deleted"),
        ] {
            let Ok(Said::Nothing(why)) = github(event, &body) else {
                panic!("{event} builds nothing");
            };
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn names_that_git_could_take_for_something_else_are_none() {
        for reference in [
            "main",
            "refs/heads",
            "refs/heads/",
            "refs//main",
            "refs/heads/-x",
            "refs/heads/a b",
            "refs/heads/a..b",
            "refs/heads/a:b",
            "refs/heads/*",
            "refs/heads/.a",
            "refs/heads/a@{1}",
            "refs/heads/a.lock",
            "refs/heads/a\nb",
        ] {
            let body = json!({ "ref": reference, "after": COMMIT });
            let error = github("push", &body).unwrap_err();
            assert!(error.contains("no name"), "{reference}: {error}");
        }
        let body = json!({ "ref": "refs/heads/a", "after": "--upload-pack=x" });
        assert!(github("push", &body).unwrap_err().contains("no commit"));
        let form = read(HookKind::Github, "push", b"payload=%7B%7D").unwrap_err();
        assert!(form.contains("application/json"), "{form}");
    }
}
