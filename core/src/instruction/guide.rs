//! What people are told about instructions, in our own words: for completion and for who points at one.
//!
//! Each instruction brings its own, beside what it reads. The planner never looks at these.

use crate::syntax::{Keyword, instructions};

/// What an instruction is for, and how it is written.
pub(crate) struct Guide {
    /// What it does, in a sentence or a few.
    pub(crate) text: &'static str,
    /// How it is written, in each of its forms. Every one can be read.
    pub(crate) examples: &'static [&'static str],
    /// What may well stand behind it. What ends in `=` may stand there again and again, the others come first only.
    pub(crate) words: &'static [&'static str],
    /// The flags that it knows.
    pub(crate) flags: &'static [FlagGuide],
}

/// What a flag is for, or an option of a mount.
pub(crate) struct FlagGuide {
    /// Its name, without dashes.
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// What it does.
    pub(crate) text: &'static str,
}

/// What a flag or an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing: it is on where it is there.
    Switch,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A stage or an image.
    Source,
    /// A platform.
    Platform,
    /// A mount with options of its own.
    Mount,
    /// Something like this.
    Like(&'static str),
}

/// The options that a type of mount knows.
pub(crate) struct MountGuide {
    /// The type.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) text: &'static str,
    /// Its options by name, those first that are wanted most.
    pub(crate) options: &'static [&'static str],
}

macro_rules! guides {
    ($($variant:ident $module:ident $name:literal $shape:ident $changes:ident;)*) => {
        /// What people are told about an instruction.
        pub(crate) const fn guide(keyword: Keyword) -> &'static Guide {
            match keyword {
                $(Keyword::$variant => &super::$module::GUIDE),*
            }
        }
    };
}

instructions!(guides);

#[cfg(test)]
mod tests {
    use super::super::flags::Takes;
    use super::super::{add, copy, from, healthcheck, parse, run};
    use super::*;

    /// The flags that an instruction reads.
    fn read(keyword: Keyword) -> &'static [(&'static str, Takes)] {
        match keyword {
            Keyword::Add => add::FLAGS,
            Keyword::Copy => copy::FLAGS,
            Keyword::From => from::FLAGS,
            Keyword::Healthcheck => healthcheck::FLAGS,
            Keyword::Run => run::FLAGS,
            _ => &[],
        }
    }

    #[test]
    fn every_instruction_is_explained() {
        for keyword in Keyword::ALL {
            let guide = guide(keyword);
            assert!(guide.text.ends_with('.'), "{keyword:?}");
            assert!(!guide.examples.is_empty(), "{keyword:?}");
            for example in guide.examples {
                let mut tree = crate::syntax::parse(example);
                assert_eq!(tree.nodes[0].keyword, Some(keyword), "{example}");
                assert!(parse(&mut tree.nodes[0]).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn every_flag_is_explained() {
        for keyword in Keyword::ALL {
            let told = guide(keyword)
                .flags
                .iter()
                .map(|flag| (flag.name, flag.value == Value::Switch));
            let told: Vec<_> = told.collect();
            let known = read(keyword)
                .iter()
                .map(|&(name, takes)| (name, takes == Takes::Switch));
            assert_eq!(told, known.collect::<Vec<_>>(), "{keyword:?}");
            assert!(guide(keyword).flags.iter().all(|flag| flag.text.ends_with('.')));
        }
    }
}
