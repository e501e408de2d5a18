//! Changing permission bits, in octal or in `chmod`'s symbolic notation.

use super::FileError;

/// What `--chmod` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ModeChange {
    /// These bits.
    Absolute(u32),
    /// One clause after the other.
    Symbolic(Vec<Clause>),
}

/// `u+x` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// The bits that the clause is about: user, group, others.
    who: u32,
    operator: char,
    permissions: String,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;

impl ModeChange {
    /// Reads `u=rwx,g+s,o-w` and its like.
    pub(super) fn parse(text: &str) -> Result<Self, FileError> {
        if let Ok(bits) = u32::from_str_radix(text, 8)
            && bits <= 0o7777
        {
            return Ok(Self::Absolute(bits));
        }
        let refused =
            || FileError::Refused(format!("--chmod={text}: not a mode such as 0755 or u=rwX,go=rX"));
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let start = part.find(['+', '-', '=']).ok_or_else(refused)?;
            let (who, mut rest) = part.split_at(start);
            let who = who.chars().try_fold(0, |bits, character| match character {
                'u' => Ok(bits | USER),
                'g' => Ok(bits | GROUP),
                'o' => Ok(bits | OTHERS),
                'a' => Ok(0o7777),
                _ => Err(refused()),
            })?;
            let who = if who == 0 { 0o7777 } else { who };
            while let Some(operator) = rest.chars().next() {
                let after = rest.get(1..).unwrap_or_default();
                let end = after.find(['+', '-', '=']).unwrap_or(after.len());
                let (permissions, next) = after.split_at(end);
                if !permissions
                    .chars()
                    .all(|character| "rwxXstugo".contains(character))
                {
                    return Err(refused());
                }
                clauses.push(Clause {
                    who,
                    operator,
                    permissions: permissions.to_owned(),
                });
                rest = next;
            }
        }
        Ok(Self::Symbolic(clauses))
    }

    /// The bits of something that has `mode`.
    pub(super) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Absolute(bits) => *bits,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode & 0o7777, |mode, clause| clause.apply(mode, directory)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let thrice = |bits: u32| bits << 6 | bits << 3 | bits;
        let bits = self.permissions.chars().fold(0, |bits, character| {
            bits | match character {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if directory || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => thrice(mode >> 6 & 7),
                'g' => thrice(mode >> 3 & 7),
                'o' => thrice(mode & 7),
                _ => 0,
            }
        }) & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            // `=` leaves the set-id bits of a directory alone, as chmod does.
            _ => mode & !(self.who & if directory { 0o1777 } else { 0o7777 }) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_do_what_chmod_does() {
        for (text, before, directory, after) in [
            ("u+x", 0o644, false, 0o744),
            ("go-w", 0o666, false, 0o644),
            ("a=rX", 0o600, false, 0o444),
            ("a=rX", 0o700, false, 0o555),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("g=u", 0o750, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("0640", 0o777, false, 0o640),
            ("u+r-w", 0o200, false, 0o400),
        ] {
            let change = ModeChange::parse(text).unwrap();
            assert_eq!(
                format!("{:o}", change.apply(before, directory)),
                format!("{after:o}"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "u", "z+x", "u+q", "8", "77777"] {
            assert!(ModeChange::parse(text).is_err(), "{text}");
        }
    }
}
