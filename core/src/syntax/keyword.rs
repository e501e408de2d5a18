//! The instructions there are: how each is called, and how what stands behind its name is read.

/// Calls a macro with all instructions, one a line: the variant and the module that stand for it wherever instructions
/// are told apart, its name, the shape of its arguments, and what it changes. To add one is a line here and a file each
/// in `instruction` and `plan/lower`.
macro_rules! instructions {
    ($with:ident) => {
        $with! {
            Add add "ADD" Sources Files;
            Arg arg "ARG" Assignments Config;
            Cmd cmd "CMD" Command Config;
            Copy copy "COPY" Sources Files;
            Entrypoint entrypoint "ENTRYPOINT" Command Config;
            Env env "ENV" Pairs Config;
            Expose expose "EXPOSE" Words Config;
            From from "FROM" Words Config;
            Healthcheck healthcheck "HEALTHCHECK" Tagged Config;
            Label label "LABEL" Pairs Config;
            Maintainer maintainer "MAINTAINER" Text Config;
            Onbuild onbuild "ONBUILD" Trigger Config;
            Run run "RUN" Script Files;
            Shell shell "SHELL" Command Config;
            Stopsignal stopsignal "STOPSIGNAL" Text Config;
            User user "USER" Text Config;
            Volume volume "VOLUME" List Config;
            Workdir workdir "WORKDIR" Text Files;
        }
    };
}

pub(crate) use instructions;

/// How the arguments of an instruction are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A JSON array or words, which may begin heredocs.
    Sources,
    /// A JSON array or words.
    List,
    /// Words.
    Words,
    /// Words in which quotes count: `name=value` or a name.
    Assignments,
    /// Names and values.
    Pairs,
    /// A JSON array or all of the text.
    Command,
    /// The same; the text may begin heredocs.
    Script,
    /// All of the text.
    Text,
    /// A word, and then a command.
    Tagged,
    /// Another instruction.
    Trigger,
}

/// What an instruction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    Files,
    Config,
}

macro_rules! keywords {
    ($($variant:ident $module:ident $name:literal $shape:ident $changes:ident;)*) => {
        /// What an instruction is called.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Keyword {
            $($variant),*
        }

        impl Keyword {
            /// All of them, in the order of the alphabet.
            pub(crate) const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name in upper case.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            /// How its arguments are read.
            pub(crate) const fn shape(self) -> Shape {
                match self {
                    $(Self::$variant => Shape::$shape),*
                }
            }

            const fn changes(self) -> Changes {
                match self {
                    $(Self::$variant => Changes::$changes),*
                }
            }
        }
    };
}

instructions!(keywords);

impl Keyword {
    /// The keyword that `word` is, in any case.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|keyword| keyword.name().eq_ignore_ascii_case(word))
    }

    /// Whether its arguments may begin heredocs.
    pub(crate) const fn takes_heredocs(self) -> bool {
        matches!(self.shape(), Shape::Sources | Shape::Script)
    }

    /// Whether it changes files, and not only what the image says of itself.
    pub(crate) const fn changes_files(self) -> bool {
        matches!(self.changes(), Changes::Files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_stand_in_the_order_of_the_alphabet() {
        let names = Keyword::ALL.map(Keyword::name);
        assert!(names.is_sorted());
        assert!(
            Keyword::ALL
                .iter()
                .all(|&keyword| Keyword::read(&keyword.name().to_lowercase()) == Some(keyword))
        );
    }
}
