//! Which users and groups there are for this process.

use std::fs;
use std::io;
use std::sync::OnceLock;

use rustix::io::Errno;

/// The users and groups that files can belong to and that steps can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    users: Vec<Range>,
    groups: Vec<Range>,
    may_set_groups: bool,
}

/// As a line of `/proc/self/uid_map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

/// All there are, seen from the machine's own user namespace.
const ALL: [Range; 1] = [Range {
    inside: 0,
    outside: 0,
    count: u32::MAX,
}];

impl Ids {
    /// Those of this process, as they are when this is first asked; they do not change after [`enter`](super::enter()).
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Ids> = OnceLock::new();
        HERE.get_or_init(|| {
            let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
            Self::parse(&read("uid_map"), &read("gid_map"), &read("setgroups"))
        })
    }

    fn parse(users: &str, groups: &str, set_groups: &str) -> Self {
        Self {
            users: ranges(users),
            groups: ranges(groups),
            may_set_groups: set_groups.trim() != "deny",
        }
    }

    /// Whether this is the machine's own user namespace. Only there is root the root of file systems, too.
    pub fn are_the_machines(&self) -> bool {
        self.users == ALL
    }

    /// Whether there is nobody but one user.
    pub fn is_one(&self) -> bool {
        self.count() == 1
    }

    /// How many users there are.
    pub fn count(&self) -> u64 {
        self.users.iter().map(|range| u64::from(range.count)).sum()
    }

    /// Whether a process may choose its supplementary groups.
    pub fn may_set_groups(&self) -> bool {
        self.may_set_groups
    }

    /// Whether there is this user.
    pub fn has_user(&self, id: u32) -> bool {
        self.users.iter().any(|range| range.has(id))
    }

    /// Whether there is this group.
    pub fn has_group(&self, id: u32) -> bool {
        self.groups.iter().any(|range| range.has(id))
    }

    /// Which of an owner's two ids there is not, in a sentence.
    pub fn lacking(&self, (user, group): (u32, u32)) -> Option<String> {
        let who = if !self.has_user(user) {
            format!("user {user}")
        } else if !self.has_group(group) {
            format!("group {group}")
        } else {
            return None;
        };
        Some(if self.is_one() {
            format!(
                "there is no {who} for this worker, which has no ids but its own; `stagewright doctor` says how it gets more"
            )
        } else {
            format!(
                "there is no {who} for this worker, which has {} ids; more can be given to it in /etc/subuid and /etc/subgid",
                self.count()
            )
        })
    }

    /// The error of giving something to `owner`, in words where it is that there is no such owner.
    pub fn explain(&self, error: Errno, owner: (u32, u32)) -> io::Error {
        match self.lacking(owner) {
            Some(lacking) if error == Errno::INVAL => io::Error::new(io::ErrorKind::InvalidInput, lacking),
            _ => error.into(),
        }
    }

    /// By this it is known again who files belong to: the same for processes for which all owners mean the same.
    pub fn fingerprint(&self) -> String {
        let list = |ranges: &[Range]| {
            let texts: Vec<String> = ranges
                .iter()
                .map(|range| format!("{}-{}-{}", range.inside, range.outside, range.count))
                .collect();
            texts.join(" ")
        };
        format!("users {}\ngroups {}\n", list(&self.users), list(&self.groups))
    }
}

impl Range {
    fn has(self, id: u32) -> bool {
        id.checked_sub(self.inside)
            .is_some_and(|offset| offset < self.count)
    }
}

fn ranges(map: &str) -> Vec<Range> {
    let mut ranges: Vec<Range> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
            Some(Range {
                inside: numbers.next()??,
                outside: numbers.next()??,
                count: numbers.next()??,
            })
        })
        .collect();
    ranges.sort_by_key(|range| range.inside);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_namespace_has_everybody() {
        let all = Ids::parse(
            "         0          0 4294967295\n",
            "         0          0 4294967295\n",
            "allow\n",
        );
        assert!(all.are_the_machines() && all.may_set_groups());
        assert!(all.has_user(0) && all.has_user(4_294_967_294));
        assert_eq!(all.lacking((12_345, 1)), None);
    }

    #[test]
    fn who_is_not_there_is_named() {
        let many = Ids::parse(
            "0 1000 1\n1 100000 65536\n",
            "0 1000 1\n1 100000 65536\n",
            "allow",
        );
        assert!(!many.are_the_machines() && !many.is_one());
        assert!(many.has_user(65_536) && !many.has_user(65_537));
        let lacking = many.lacking((0, 70_000)).unwrap();
        assert!(
            lacking.contains("no group 70000") && lacking.contains("65537 ids"),
            "{lacking}"
        );
        let one = Ids::parse("0 1000 1\n", "0 1000 1\n", "deny\n");
        assert!(one.is_one() && !one.may_set_groups());
        assert!(one.lacking((33, 0)).unwrap().contains("no user 33"));
        let explained = one.explain(Errno::INVAL, (33, 33)).to_string();
        assert!(explained.contains("no user 33"), "{explained}");
        assert_eq!(
            one.explain(Errno::NOENT, (33, 33)).kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn other_ids_have_another_fingerprint() {
        let of = |map: &str| Ids::parse(map, map, "allow").fingerprint();
        assert_eq!(of("0 1000 1\n1 100000 9\n"), of(" 1 100000 9\n0 1000 1"));
        assert_ne!(of("0 1000 1\n1 100000 9\n"), of("0 1000 1\n1 200000 9\n"));
    }
}
