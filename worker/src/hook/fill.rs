//! The request that a hook's configuration stands for, for what was pushed.

use crate::request::BuildRequest;

/// The digits of a commit in `{short}`.
const SHORT: usize = 7;

/// The request for a push. What is built is the commit; without one, what the name stands for by then. The error completes a
/// sentence.
pub(crate) fn fill(
    build: &BuildRequest,
    reference: &str,
    commit: Option<&str>,
) -> Result<BuildRequest, String> {
    let mut request = build.clone();
    if let Some(context) = &mut request.context {
        *context = at(context, commit.unwrap_or(reference));
    }
    let name = short_name(reference);
    let tag = as_tag(name);
    let named = [
        &mut request.tags,
        &mut request.outputs,
        &mut request.cache_from,
        &mut request.cache_to,
    ];
    for text in named.into_iter().flatten() {
        *text = with(text, &tag, commit)?;
    }
    let told = [
        &mut request.labels,
        &mut request.annotations,
        &mut request.build_args,
    ];
    for text in told.into_iter().flatten() {
        *text = with(text, name, commit)?;
    }
    Ok(request)
}

/// The address of a repository, at that commit or name.
fn at(context: &str, name: &str) -> String {
    let (url, fragment) = context.split_once('#').unwrap_or((context, ""));
    match fragment.split_once(':') {
        Some((_, folder)) => format!("{url}#{name}:{folder}"),
        None => format!("{url}#{name}"),
    }
}

/// A branch or tag as people call it.
fn short_name(reference: &str) -> &str {
    let known = ["refs/heads/", "refs/tags/", "refs/"];
    let rest = known.iter().find_map(|prefix| reference.strip_prefix(prefix));
    rest.unwrap_or(reference)
}

/// The same as an image's tag, which has fewer letters.
fn as_tag(name: &str) -> String {
    let plain = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => letter,
        _ => '-',
    };
    let tag: String = name.chars().map(plain).take(128).collect();
    match tag.trim_start_matches(['.', '-']) {
        "" => "ref".to_owned(),
        tag => tag.to_owned(),
    }
}

/// The text with its placeholders filled.
fn with(text: &str, name: &str, commit: Option<&str>) -> Result<String, String> {
    let filled = text.replace("{ref}", name);
    let wants_commit = filled.contains("{commit}") || filled.contains("{short}");
    match commit {
        None if wants_commit => Err(format!(
            "it names no commit, and {text:?} of the hook's configuration asks for one"
        )),
        None => Ok(filled),
        Some(commit) => {
            let short = commit.get(..SHORT).unwrap_or(commit);
            Ok(filled.replace("{commit}", commit).replace("{short}", short))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn build() -> BuildRequest {
        BuildRequest {
            context: Some("https://h.io/a.git#:docker/app".into()),
            tags: vec!["r.io/a:{ref}".into(), "r.io/a:{short}".into()],
            labels: vec!["revision={commit}".into(), "ref={ref}".into()],
            cache_to: vec!["type=registry,ref=r.io/a:cache-{ref}".into()],
            ..BuildRequest::default()
        }
    }

    #[test]
    fn what_was_pushed_stands_in_the_place_of_its_names() {
        let filled = fill(&build(), "refs/heads/feature/x+y", Some(COMMIT)).unwrap();
        let context = format!("https://h.io/a.git#{COMMIT}:docker/app");
        assert_eq!(filled.context.as_deref(), Some(context.as_str()));
        assert_eq!(filled.tags, ["r.io/a:feature-x-y", "r.io/a:0123456"]);
        let revision = format!("revision={COMMIT}");
        assert_eq!(filled.labels, [revision.as_str(), "ref=feature/x+y"]);
        assert_eq!(filled.cache_to, ["type=registry,ref=r.io/a:cache-feature-x-y"]);
        assert_eq!(as_tag("..-"), "ref");
    }

    #[test]
    fn without_a_commit_the_name_is_built_and_no_commit_can_be_named() {
        let mut plain = build();
        let error = fill(&plain, "refs/tags/v1", None).unwrap_err();
        assert!(error.contains("names no commit"), "{error}");
        plain.tags.truncate(1);
        plain.labels.clear();
        let filled = fill(&plain, "refs/tags/v1", None).unwrap();
        assert_eq!(
            filled.context.as_deref(),
            Some("https://h.io/a.git#refs/tags/v1:docker/app")
        );
        assert_eq!(filled.tags, ["r.io/a:v1"]);
    }
}
