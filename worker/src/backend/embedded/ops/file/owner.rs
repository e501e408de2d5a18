//! Who files belong to.

use std::io::Read as _;
use std::path::Path;

use stagewright_core::llb::{Action, ChownOpt, NamedUserOpt, User, UserOpt};

use super::super::super::tree::{Tree, resolve};
use super::FileError;

/// An owner and a group by number; root's by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
}

impl Owner {
    /// User and group.
    pub(super) fn numbers(self) -> (u32, u32) {
        (self.uid, self.gid)
    }
}

/// More of `/etc/passwd` than this is not read.
const MAX_DATABASE: u64 = 8 << 20;

/// The owner that an action names, with names looked up in what `files` gives for an input.
pub(crate) fn owner(
    action: &Action,
    files: &dyn Fn(i64) -> Result<Box<dyn Tree>, FileError>,
) -> Result<Option<Owner>, FileError> {
    let Some(chown) = chown(action) else {
        return Ok(None);
    };
    let mut owner = Owner::default();
    match chown.user.as_ref().and_then(|user| user.user.as_ref()) {
        // A user by number brings the group of the same number.
        Some(User::ById(id)) => owner = Owner { uid: *id, gid: *id },
        Some(User::ByName(named)) => {
            if let Some(found) = lookup(named_in(named, files)?.as_ref(), "etc/passwd", &named.name)? {
                owner = Owner {
                    uid: found.first,
                    gid: found.second.unwrap_or(0),
                };
            }
        }
        None => {}
    }
    match chown.group.as_ref().and_then(|group| group.user.as_ref()) {
        Some(User::ById(id)) => owner.gid = *id,
        Some(User::ByName(named)) => {
            if let Some(found) = lookup(named_in(named, files)?.as_ref(), "etc/group", &named.name)? {
                owner.gid = found.first;
            }
        }
        None => {}
    }
    Ok(Some(owner))
}

/// The files in which a name is looked up. Nothing at all has none, and who is meant cannot be guessed.
fn named_in(
    named: &NamedUserOpt,
    files: &dyn Fn(i64) -> Result<Box<dyn Tree>, FileError>,
) -> Result<Box<dyn Tree>, FileError> {
    if named.input < 0 {
        return Err(FileError::Refused(format!(
            "who {:?} is cannot be told: names are looked up in /etc/passwd and /etc/group of the image, which scratch does \
             not have; use numbers, such as 1000:1000",
            named.name
        )));
    }
    files(named.input)
}

/// The inputs in which names are looked up.
pub(crate) fn owner_inputs(action: &Action) -> Vec<i64> {
    let Some(chown) = chown(action) else {
        return Vec::new();
    };
    let input = |user: &UserOpt| match &user.user {
        Some(User::ByName(named)) => Some(named.input),
        Some(User::ById(_)) | None => None,
    };
    [&chown.user, &chown.group]
        .into_iter()
        .flatten()
        .filter_map(input)
        .collect()
}

fn chown(action: &Action) -> Option<&ChownOpt> {
    match action {
        Action::Copy(copy) => copy.owner.as_ref(),
        Action::MkFile(file) => file.owner.as_ref(),
        Action::MkDir(directory) => directory.owner.as_ref(),
        Action::Symlink(link) => link.owner.as_ref(),
        Action::Rm(_) => None,
    }
}

struct Found {
    first: u32,
    second: Option<u32>,
}

/// Looks a name up in a database of lines such as `name:x:1000:1000:…`. A name that nobody has is no error: in the
/// reference files go to root then, and images that build there have to build here.
fn lookup(tree: &dyn Tree, database: &str, name: &str) -> Result<Option<Found>, FileError> {
    let read = || {
        let (path, node) = resolve(tree, Path::new(database), true)?;
        let mut text = Vec::new();
        if node.is_some() {
            tree.open(&path)?.take(MAX_DATABASE).read_to_end(&mut text)?;
        }
        Ok(text)
    };
    let text = read().map_err(FileError::io("read", Path::new(database)))?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let first = fields.nth(1)?.parse().ok()?;
        Some(Found {
            first,
            second: fields.next().and_then(|field| field.parse().ok()),
        })
    }))
}
