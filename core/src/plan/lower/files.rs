//! What ADD and COPY have in common.

use std::borrow::Cow;
use std::rc::Rc;

use crate::diagnostic::Problem;
use crate::instruction::Sources;
use crate::llb::{
    Action, Attr, ChownOpt, FileActionCopy, FileActionMkFile, NamedUserOpt, SourceOp, User, UserOpt,
};
use crate::plan::build::Step;
use crate::plan::graph::{ActionPlan, Output, Work};
use crate::plan::{path, remote};
use crate::shell::Lexer;
use crate::syntax::Word;

/// What is copied, and how.
pub(super) struct Transfer<'c> {
    pub(super) keyword: &'static str,
    pub(super) sources: &'c Sources,
    /// Where paths come from.
    pub(super) from: Option<Output>,
    pub(super) chown: Option<&'c Word>,
    pub(super) chmod: Option<&'c Word>,
    pub(super) checksum: Option<&'c Word>,
    pub(super) exclude: &'c [Word],
    pub(super) link: bool,
    pub(super) parents: bool,
    pub(super) unpack: Option<bool>,
    pub(super) keep_git_dir: Option<bool>,
    /// Whether addresses are fetched.
    pub(super) fetches: bool,
}

/// What every action of one instruction has.
struct Common {
    destination: String,
    owner: Option<ChownOpt>,
    mode: i32,
    mode_text: String,
    exclude: Vec<String>,
    /// Of the source at hand. One that a git address names holds for the sources after it too, as in BuildKit.
    checksum: String,
    /// What progress calls the instruction.
    name: String,
}

/// Paths after expansion.
pub(super) type Paths<'t> = Vec<Cow<'t, str>>;

/// Copies; gives the paths after expansion.
pub(super) fn transfer<'c>(step: &mut Step<'_, '_>, transfer: &Transfer<'c>) -> Result<Paths<'c>, Problem> {
    let chown = step.expand_flag(transfer.chown)?;
    let chmod = step.expand_flag(transfer.chmod)?;
    let checksum = step.expand_flag(transfer.checksum)?;
    let paths = transfer
        .sources
        .paths
        .iter()
        .map(|word| step.expand_word(word))
        .collect::<Result<Vec<_>, _>>()?;
    let written = step.expand_word(&transfer.sources.destination)?;
    let platform = Rc::clone(&step.build.platform);
    let os = &platform.os;
    let destination = destination(&step.build.dir, &written, os)
        .map_err(|problem| problem.at(transfer.sources.destination.span))?;
    let (mode, mode_text) = match transfer.chmod {
        Some(word) if !chmod.is_empty() => mode(&chmod).map_err(|problem| problem.at(word.span))?,
        _ => (-1, String::new()),
    };
    check_checksum(transfer, &checksum, &paths)?;
    let printed = step.printed(&step.command.statement.code);
    let name = step.next_name(&printed);
    let mut common = Common {
        destination: path::in_action("/", destination, true),
        owner: if chown.is_empty() {
            None
        } else {
            Some(owner(&chown))
        },
        mode,
        mode_text,
        exclude: transfer.exclude.iter().map(|word| word.text.clone()).collect(),
        checksum: checksum.into_owned(),
        name,
    };
    let mut actions = Vec::with_capacity(paths.len() + transfer.sources.contents.len());
    let mut keep_git_dir = transfer.keep_git_dir;
    for (word, source) in transfer.sources.paths.iter().zip(&paths) {
        let action = from_path(step, transfer, &mut common, source, &mut keep_git_dir);
        actions.push(action.map_err(|problem| problem.at(word.span))?);
    }
    for inline in &transfer.sources.contents {
        actions.push(from_inline(step, &common, inline, os)?);
    }
    let name = common.name;
    let base = step.build.output;
    step.build.output = Some(if transfer.link && chmod.is_empty() {
        let layer = step.add_main(Work::File { base: None, actions }, name);
        match base {
            // Nothing below a layer leaves the layer.
            None => layer,
            Some(base) => {
                let name = step.link_name(&printed);
                step.add_main(Work::Merge(vec![base, layer]), name)
            }
        }
    } else {
        step.add_main(Work::File { base, actions }, name)
    });
    history(step, transfer, &chown, &chmod, &paths, &written);
    Ok(paths)
}

fn history(
    step: &mut Step<'_, '_>,
    transfer: &Transfer<'_>,
    chown: &str,
    chmod: &str,
    paths: &[Cow<'_, str>],
    destination: &str,
) {
    let lengths = paths.iter().map(|path| path.len() + 1).sum::<usize>();
    let mut done = String::with_capacity(lengths + chown.len() + chmod.len() + destination.len() + 64);
    done.push_str(transfer.keyword);
    if transfer.parents {
        done.push_str(" --parents");
    }
    for (flag, value) in [(" --chown=", chown), (" --chmod=", chmod)] {
        if !value.is_empty() {
            done.push_str(flag);
            done.push_str(value);
        }
    }
    for path in paths {
        done.push(' ');
        done.push_str(path);
    }
    for inline in &transfer.sources.contents {
        done.push_str(" <<");
        done.push_str(&inline.name);
    }
    done.push(' ');
    done.push_str(destination);
    done.push_str(" # buildkit");
    step.commit(done, true);
}

/// Where files go, as seen from the working directory.
fn destination(dir: &str, written: &str, os: &str) -> Result<String, Problem> {
    let written = path::without_drive(written, os, true)?;
    if path::is_absolute(&written, os) {
        return path::normalize("/", &written, os, true);
    }
    // The working directory itself takes files in, so it ends in a slash.
    let written = if written.is_empty() || written == "." {
        "./"
    } else {
        &written
    };
    path::normalize(dir, written, os, true)
}

/// An owner: `user`, `user:group`, by name or number.
pub(super) fn owner(text: &str) -> ChownOpt {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    ChownOpt {
        user: Some(user_or_group(user)),
        group: group.map(user_or_group),
    }
}

fn user_or_group(text: &str) -> UserOpt {
    let user = match text.parse::<i32>() {
        _ if text == "root" || text.is_empty() => User::ById(0),
        Ok(id) => User::ById(id.cast_unsigned()),
        // The input to look the name up in is filled in with the others.
        Err(_) => User::ByName(NamedUserOpt {
            name: text.into(),
            input: -1,
        }),
    };
    UserOpt { user: Some(user) }
}

/// Permission bits: octal, or in the notation of `chmod`.
fn mode(text: &str) -> Result<(i32, String), Problem> {
    let bad = || {
        Problem::new("bad-mode", format!("\"{text}\" is not a mode."))
            .hint("Write it in octal, as 755, or like chmod, as u=rwx,go=rx.")
    };
    if !text.starts_with('+')
        && let Ok(bits) = u32::from_str_radix(text, 8)
    {
        return match i32::try_from(bits) {
            Ok(bits) if bits <= 0o7777 => Ok((bits, String::new())),
            _ => Err(bad()),
        };
    }
    let clause = |clause: &str| {
        let changes = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        let known = |letter: char| "+-=rwxXstugo".contains(letter);
        changes.starts_with(['+', '-', '=']) && changes.chars().all(known)
    };
    if text.split(',').all(clause) {
        Ok((0, text.to_owned()))
    } else {
        Err(bad())
    }
}

fn check_checksum(transfer: &Transfer<'_>, checksum: &str, paths: &[Cow<'_, str>]) -> Result<(), Problem> {
    let Some(word) = transfer.checksum.filter(|_| !checksum.is_empty()) else {
        return Ok(());
    };
    let [path] = paths else {
        return Err(Problem::new("bad-checksum", "A checksum is for a single source.").at(word.span));
    };
    if remote::takes_checksum(path) {
        return Ok(());
    }
    Err(Problem::new(
        "bad-checksum",
        "A checksum is for something that is fetched by http or git.",
    )
    .at(word.span)
    .hint("Files of the build context need none: remove --checksum."))
}

/// One source: a path, or an address.
fn from_path(
    step: &mut Step<'_, '_>,
    transfer: &Transfer<'_>,
    common: &mut Common,
    source: &str,
    keep_git_dir: &mut Option<bool>,
) -> Result<ActionPlan, Problem> {
    if let Some(git) = remote::git(source)? {
        refuse_address(transfer, "a git repository")?;
        if let (Some(wanted), Some(written)) = (*keep_git_dir, git.keep_git_dir)
            && wanted != written
        {
            return Err(Problem::new(
                "bad-git-address",
                "--keep-git-dir and the address say different things.",
            ));
        }
        *keep_git_dir = git.keep_git_dir.or(*keep_git_dir);
        if !git.checksum.is_empty() {
            if !common.checksum.is_empty() && common.checksum != git.checksum {
                return Err(Problem::new(
                    "bad-checksum",
                    "--checksum and the address say different things.",
                ));
            }
            common.checksum.clone_from(&git.checksum);
        }
        let op = git.source(*keep_git_dir == Some(true), &common.checksum);
        let output = step.add(Work::Source(op, None), common.name.clone());
        return Ok(ActionPlan {
            action: Action::Copy(common.copy("/".into())),
            source: Some(output),
        });
    }
    if remote::is_http(source) {
        refuse_address(transfer, "a web address")?;
        let file = remote::http_file_name(source);
        let mut attrs = vec![Attr::new("http.filename", file.as_str())];
        if !common.checksum.is_empty() {
            if !is_checksum(&common.checksum) {
                return Err(Problem::new(
                    "bad-checksum",
                    format!("\"{}\" is not a checksum.", common.checksum),
                )
                .hint("Write sha256: and 64 hex digits."));
            }
            attrs.push(Attr::new("http.checksum", &common.checksum));
        }
        let output = step.add(
            Work::Source(SourceOp::new(source.to_owned(), attrs), None),
            common.name.clone(),
        );
        let copy = FileActionCopy {
            attempt_unpack_docker_compatibility: transfer.unpack == Some(true),
            ..common.copy(path::join(&["/", &file]))
        };
        return Ok(ActionPlan {
            action: Action::Copy(copy),
            source: Some(output),
        });
    }
    let (source, include_patterns, required_paths) = pattern(step, transfer, source)?;
    let copy = FileActionCopy {
        follow_symlink: true,
        dir_copy_contents: true,
        attempt_unpack_docker_compatibility: transfer.unpack.unwrap_or(transfer.fetches),
        allow_wildcard: true,
        allow_empty_wildcard: true,
        include_patterns,
        required_paths,
        ..common.copy(path::cleaned(source))
    };
    Ok(ActionPlan {
        action: Action::Copy(copy),
        source: transfer.from,
    })
}

/// Whether `text` is a digest in any of the algorithms that a download may be checked with.
fn is_checksum(text: &str) -> bool {
    let (algorithm, digits) = text.split_once(':').unwrap_or_default();
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    digits.len() == length
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn refuse_address(transfer: &Transfer<'_>, what: &str) -> Result<(), Problem> {
    if transfer.fetches {
        return Ok(());
    }
    Err(Problem::new("remote-copy", format!("COPY cannot take files from {what}.")).hint("Use ADD."))
}

/// A source path, absolute. With `--parents` it is the directory to begin at and a pattern of what to take, and what
/// has to be there.
fn pattern(
    step: &Step<'_, '_>,
    transfer: &Transfer<'_>,
    source: &str,
) -> Result<(String, Vec<String>, Vec<String>), Problem> {
    let os = &step.build.platform.os;
    if !transfer.parents {
        return Ok((path::normalize("/", source, os, false)?, Vec::new(), Vec::new()));
    }
    let (start, pattern) = source.split_once("/./").unwrap_or(("/", source));
    let pattern = path::normalize("/", pattern, os, false)?;
    let mut required = Vec::new();
    if !path::has_wildcards(start) && !path::has_wildcards(&pattern) {
        required.push(path::normalize("/", &path::join(&[start, &pattern]), os, false)?);
    }
    let include = pattern.strip_prefix('/').unwrap_or(&pattern).to_owned();
    Ok((path::normalize("/", start, os, false)?, vec![include], required))
}

/// A file that stands in the Dockerfile itself.
fn from_inline(
    step: &mut Step<'_, '_>,
    common: &Common,
    inline: &crate::instruction::Inline,
    os: &str,
) -> Result<ActionPlan, Problem> {
    let data = if inline.expand {
        // Quotes are part of the content, and so is everything else but variables.
        let lexer = Lexer {
            ignore_quotes: true,
            ..Lexer::new('\\')
        };
        crate::plan::build::expand(lexer, &inline.data, &step.build.env)
            .map_err(|problem| problem.at(inline.span))?
            .into_owned()
    } else {
        inline.data.clone()
    };
    let file = path::without_drive(&inline.name, os, false).map_err(|problem| problem.at(inline.span))?;
    let output = make_file(step, &file, 0o644, data.into_bytes());
    let copy = common.copy(path::join(&["/", &path::clean(&path::to_slash(&file, os))]));
    Ok(ActionPlan {
        action: Action::Copy(copy),
        source: Some(output),
    })
}

/// A vertex with one file in it.
pub(super) fn make_file(step: &mut Step<'_, '_>, name: &str, mode: i32, data: Vec<u8>) -> Output {
    let path = path::in_action("/", name.to_owned(), false);
    let action = Action::MkFile(FileActionMkFile {
        path,
        mode,
        data,
        owner: None,
        timestamp: -1,
    });
    let work = Work::File {
        base: None,
        actions: vec![ActionPlan { action, source: None }],
    };
    step.add(work, "[internal] preparing inline document".into())
}

impl Common {
    /// A copy of `source` without any of the conveniences that local files have.
    fn copy(&self, source: String) -> FileActionCopy {
        FileActionCopy {
            src: source,
            dest: self.destination.clone(),
            owner: self.owner.clone(),
            mode: self.mode,
            mode_str: self.mode_text.clone(),
            create_dest_path: true,
            exclude_patterns: self.exclude.clone(),
            timestamp: -1,
            ..FileActionCopy::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_checked_by_any_common_algorithm() {
        assert!(is_checksum(&format!("sha256:{}", "0".repeat(64))));
        assert!(is_checksum(&format!("sha512:{}", "f".repeat(128))));
        for bad in ["", "sha256:", "md5:0", &format!("sha256:{}", "F".repeat(64))] {
            assert!(!is_checksum(bad), "{bad}");
        }
    }

    #[test]
    fn modes_are_octal_or_symbolic() {
        assert_eq!(mode("0755").unwrap(), (0o755, String::new()));
        assert_eq!(mode("u=rwX,go=rX").unwrap(), (0, "u=rwX,go=rX".into()));
        assert_eq!(mode("+x").unwrap().1, "+x");
        for bad in ["64a", "10000", "u", "", "u=q"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn owners_are_names_or_numbers() {
        let by = |text: &str| user_or_group(text).user;
        assert_eq!(by("root"), Some(User::ById(0)));
        assert_eq!(by("65534"), Some(User::ById(65_534)));
        assert_eq!(by("-1"), Some(User::ById(u32::MAX)));
        assert!(matches!(by("nobody"), Some(User::ByName(named)) if named.name == "nobody"));
    }
}
