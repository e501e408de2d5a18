//! Which ids the machine's owner set aside for a user: `/etc/subuid` and `/etc/subgid`.

use std::fmt::Write as _;

/// The first id of a run of ids, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// What a file in the form of `/etc/subuid` gives to a user, who is called `name` or by number.
pub(super) fn given(text: &str, name: Option<&str>, uid: u32) -> Vec<Run> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let who = fields.next()?;
            if who != number && Some(who) != name {
                return None;
            }
            let first = fields.next()?.parse().ok()?;
            let count = fields.next()?.parse().ok()?;
            (count > 0).then_some(Run { first, count })
        })
        .collect()
}

/// The user's name, as `/etc/passwd` has it.
pub(super) fn name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then_some(name)
    })
}

/// What `newuidmap` and `newgidmap` are asked for: the user itself is root, and the ids it was given follow, from 1 on.
pub(super) fn map(own: u32, given: &[Run]) -> String {
    let mut words = format!("0 {own} 1");
    let mut next: u32 = 1;
    for run in given {
        // Ids beyond the last number would be nobody's.
        let count = run.count.min(u32::MAX - 1 - next);
        if count == 0 {
            break;
        }
        _ = write!(words, " {next} {} {count}", run.first);
        next += count;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_by_name_or_by_number() {
        let text = "# comment\nann:100000:65536\nbob:165536:65536\n1000:300000:10\nann:400000:5\nann:broken\nann:1:0\n";
        let run = |first, count| Run { first, count };
        assert_eq!(
            given(text, Some("ann"), 1000),
            [run(100_000, 65_536), run(300_000, 10), run(400_000, 5)]
        );
        assert_eq!(given(text, None, 1000), [run(300_000, 10)]);
        assert_eq!(given(text, Some("eve"), 7), []);
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name(passwd, 1000), Some("ann"));
        assert_eq!(name(passwd, 1), None);
    }

    #[test]
    fn runs_of_ids_follow_each_other() {
        let runs = [
            Run {
                first: 100_000,
                count: 65_536,
            },
            Run {
                first: 300_000,
                count: 10,
            },
        ];
        assert_eq!(map(1000, &runs), "0 1000 1 1 100000 65536 65537 300000 10");
        assert_eq!(map(1000, &[]), "0 1000 1");
        let endless = [Run {
            first: 5,
            count: u32::MAX,
        }];
        assert_eq!(map(7, &endless), format!("0 7 1 1 5 {}", u32::MAX - 2));
    }
}
