//! Who a step runs as, by the image's own user database.

use std::io::Read;
use std::path::Path;

use crate::snapshot::Confined;

use super::SandboxError;

/// A process's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups; the primary one is always among them, so that leaving it away gains nothing.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// User databases of images are small; a larger one is an attack on the worker's memory.
const MAX_DATABASE: u64 = 16 << 20;

/// Resolves `user` (`""`, `name`, `uid`, `name:group`, `uid:gid`, …) in the file system `root`, by the rules of `BuildKit`.
pub(super) fn identify(user: &str, root: &Confined) -> Result<Identity, SandboxError> {
    let passwd = || database(root, "etc/passwd");
    let (name, group) = user
        .split_once(':')
        .map_or((user, ""), |(name, group)| (name, group));
    let name = if name.is_empty() { "0" } else { name };
    let number = name.parse::<u32>().ok();
    let passwd = passwd()?;
    let entry = find_user(&passwd, |entry_name, uid| match number {
        // What can be read as a number is one, whoever has it for a name.
        Some(number) => uid == number,
        None => entry_name == name,
    });
    let (uid, mut gid, home, entry_name) = match (entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home.to_owned(), Some(entry.name)),
        (None, Some(uid)) => (uid, 0, "/".to_owned(), None),
        (None, None) => {
            return Err(SandboxError::Unusable(format!(
                "there is no user {name:?} in the image's /etc/passwd; add it (for example with `RUN adduser`) or use a number"
            )));
        }
    };
    let mut groups = Vec::new();
    let group_file = database(root, "etc/group")?;
    if group.is_empty() {
        // A user's groups come along where no group is asked for; root's also where nobody is asked for.
        if let Some(entry_name) = entry_name {
            groups = group_lines(&group_file)
                .filter(|line| line.members.split(',').any(|member| member == entry_name))
                .map(|line| line.gid)
                .collect();
        }
    } else {
        let number = group.parse::<u32>().ok();
        let named = group_lines(&group_file).find(|line| line.name == group);
        gid = match (number, named) {
            (Some(gid), _) => gid,
            (None, Some(line)) => line.gid,
            (None, None) => {
                return Err(SandboxError::Unusable(format!(
                    "there is no group {group:?} in the image's /etc/group; add it or use a number"
                )));
            }
        };
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = if home.is_empty() { "/".to_owned() } else { home };
    Ok(Identity {
        uid,
        gid,
        groups,
        home,
    })
}

struct UserLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// The first entry that `matches`.
fn find_user(passwd: &str, matches: impl Fn(&str, u32) -> bool) -> Option<UserLine<'_>> {
    let mut entries = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(UserLine {
            name,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home,
        })
    });
    entries.find(|entry| matches(entry.name, entry.uid))
}

fn group_lines(group: &str) -> impl Iterator<Item = GroupLine<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(GroupLine {
            name,
            gid: gid.parse().ok()?,
            members: fields.next().unwrap_or_default(),
        })
    })
}

/// A user database as text; empty where the image has none.
fn database(root: &Confined, path: &str) -> Result<String, SandboxError> {
    let Ok(file) = root.read(Path::new(path)) else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    file.take(MAX_DATABASE)
        .read_to_end(&mut bytes)
        .map_err(SandboxError::system(format!(
            "/{path} of the image cannot be read"
        )))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn resolve(user: &str) -> Result<Identity, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let passwd = "# a comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1001::/srv/app:\n4000:x:7:8::/seven:\n";
        fs::write(dir.path().join("etc/passwd"), passwd).unwrap();
        let group =
            "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nmany:x:20:other,app,third\nadmin:x:30:apparition\n";
        fs::write(dir.path().join("etc/group"), group).unwrap();
        identify(user, &Confined::open(dir.path()).unwrap()).map_err(|error| error.to_string())
    }

    fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
        Identity {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        }
    }

    #[test]
    fn users_are_resolved_as_the_reference_does() {
        assert_eq!(resolve("").unwrap(), identity(0, 0, &[0, 10], "/root"));
        assert_eq!(resolve("root").unwrap(), identity(0, 0, &[0, 10], "/root"));
        assert_eq!(
            resolve("app").unwrap(),
            identity(1000, 1001, &[10, 20, 1001], "/srv/app")
        );
        assert_eq!(
            resolve("1000").unwrap(),
            identity(1000, 1001, &[10, 20, 1001], "/srv/app")
        );
        assert_eq!(
            resolve("app:wheel").unwrap(),
            identity(1000, 10, &[10], "/srv/app")
        );
        assert_eq!(resolve("app:77").unwrap(), identity(1000, 77, &[77], "/srv/app"));
        assert_eq!(resolve("12345").unwrap(), identity(12345, 0, &[0], "/"));
        assert_eq!(resolve("12345:6").unwrap(), identity(12345, 6, &[6], "/"));
        assert_eq!(resolve(":wheel").unwrap(), identity(0, 10, &[10], "/root"));
    }

    #[test]
    fn a_number_is_a_number_also_where_someone_has_it_for_a_name() {
        assert_eq!(resolve("4000").unwrap(), identity(4000, 0, &[0], "/"));
        assert_eq!(resolve("app:20").unwrap(), identity(1000, 20, &[20], "/srv/app"));
    }

    #[test]
    fn unknown_names_say_what_to_do() {
        assert!(
            resolve("nobody")
                .unwrap_err()
                .contains("\"nobody\" in the image's /etc/passwd")
        );
        assert!(resolve("app:nogroup").unwrap_err().contains("/etc/group"));
        assert!(resolve("-1").is_err());
    }

    #[test]
    fn an_image_without_a_database_has_numbers_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = Confined::open(dir.path()).unwrap();
        assert_eq!(identify("", &root).unwrap(), identity(0, 0, &[0], "/"));
        assert_eq!(identify("5:6", &root).unwrap(), identity(5, 6, &[6], "/"));
        assert!(identify("app", &root).is_err());
    }
}
