//! What `# check=…` asks of lint: rules to leave out, experimental ones to take up, and whether findings are errors.

use crate::diagnostic::Problem;

use super::directive;

/// What one `# check=` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Check {
    pub(crate) skip: Rules,
    pub(crate) experimental: Rules,
    /// Whether a build with findings fails.
    pub(crate) error: bool,
}

/// Rules by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    pub(crate) all: bool,
    pub(crate) names: Vec<String>,
}

impl Rules {
    fn read(&mut self, text: &str) {
        let text = text.trim();
        if text == "all" {
            self.all = true;
        } else {
            self.names = text.split(',').map(|name| name.trim().to_owned()).collect();
        }
    }

    pub(crate) fn contain(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|known| known == name)
    }
}

impl Check {
    /// Reads `skip=A,B;error=true`. A word that is no option keeps a build from starting.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let mut check = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(check);
        }
        // There are three options; what stands behind a third semicolon belongs to the third of them.
        for part in text.splitn(3, ';') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim() {
                _ if !part.contains('=') => return Err(bad(part)),
                "skip" => check.skip.read(value),
                "experimental" => check.experimental.read(value),
                "error" => {
                    check.error = crate::boolean::read(value.trim()).ok_or_else(|| bad(part))?;
                }
                _ => return Err(bad(part)),
            }
        }
        Ok(check)
    }
}

fn bad(part: &str) -> Problem {
    Problem::new(
        "bad-check",
        ["\"", part, "\" is not something to ask of check."].concat(),
    )
    .hint("Write it like skip=NameOfARule,AnotherOne or error=true, with ; between the two.")
}

/// What the directive at the top of a file says, up to its first space. A line like `#!/usr/bin/…` may stand before it.
pub(crate) fn check_directive(source: &str) -> Option<&str> {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut lines = text.split('\n').peekable();
    lines.next_if(|line| line.starts_with("#!"));
    let directives = lines.map_while(|line| directive::read(line.strip_suffix('\r').unwrap_or(line)));
    first_word(directives)
}

/// The same of the comments above an instruction.
pub(crate) fn check_comment<'c>(comments: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    first_word(comments.into_iter().filter_map(directive::named))
}

fn first_word<'c>(mut directives: impl Iterator<Item = (String, &'c str)>) -> Option<&'c str> {
    let (_, value) = directives.find(|(name, _)| name == "check")?;
    value.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let check = Check::read(" skip = A, B ; error=true;experimental=all ").unwrap();
        assert_eq!(check.skip.names, ["A", "B"]);
        assert!(check.error && check.experimental.all && !check.skip.all);
        assert_eq!(Check::read(""), Ok(Check::default()));
        assert_eq!(Check::read("skip=A;skip=B").unwrap().skip.names, ["B"]);
    }

    #[test]
    fn what_is_no_option_is_said() {
        for text in ["skip", "skip=A;", "skip=A;other=1", "error=maybe", "a=b"] {
            assert_eq!(Check::read(text).unwrap_err().code, "bad-check", "{text}");
        }
    }

    #[test]
    fn a_directive_ends_at_a_space() {
        assert_eq!(
            check_directive("# syntax=a/b\n#check = skip=all // note\r\nFROM a"),
            Some("skip=all")
        );
        assert_eq!(
            check_directive("\u{feff}#!/usr/bin/env x\n# check=skip=A, B\n"),
            Some("skip=A,")
        );
        assert_eq!(check_directive("# note\n# check=skip=all\n"), None);
        assert_eq!(check_directive(" # check=skip=all\n"), None);
    }

    #[test]
    fn the_first_comment_that_is_one_counts() {
        assert_eq!(
            check_comment(["note", "syntax=x", "Check = skip=A b", "check=skip=B"]),
            Some("skip=A")
        );
        assert_eq!(check_comment(["see check=skip=A"]), None);
    }
}
