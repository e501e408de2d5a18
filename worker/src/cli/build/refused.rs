//! Flags of `docker build` that are not here, and what to do instead.

/// Why there is no such flag; `None` where `docker build` has none either.
pub(in crate::cli) fn why(flag: &str) -> Option<&'static str> {
    let (_, why) = REFUSED.iter().find(|(flags, _)| flags.contains(&flag))?;
    Some(why)
}

const REFUSED: &[(&[&str], &str)] = &[
    (
        &["--builder"],
        "this program is the builder: where it keeps what it builds is --state, and a BuildKit elsewhere is --backend buildkit=ADDRESS",
    ),
    (
        &[
            "--memory-swap",
            "--cpu-period",
            "--cpu-quota",
            "--cpu-shares",
            "-c",
            "--cpuset-cpus",
            "--cpuset-mems",
        ],
        "what a step may use up is --memory, --cpus, --pids-limit and --step-timeout, or [limits] of the configuration (--config)",
    ),
    (
        &["--cgroup-parent"],
        "steps have control groups of their own; what they may use up is --memory, --cpus and --pids-limit",
    ),
    (
        &["--security-opt"],
        "every step runs in a sandbox, and RUN --security=insecure without one, where --allow security.insecure is given",
    ),
    (
        &["--squash"],
        "copy what is wanted into a stage of its own, which then has one layer: FROM scratch, COPY --from=STAGE / /",
    ),
    (
        &["--policy"],
        "which images may be used is allowed-registries in the configuration (--config)",
    ),
    (&["--isolation"], "it is about Windows containers; leave it out"),
    (&["--print"], "it is called --call"),
    (&["--debug", "-D"], "-v says more"),
    (
        &["--compress", "--rm", "--force-rm", "--disable-content-trust"],
        "it changes nothing in a build; leave it out",
    ),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_flag_of_build_is_refused() {
        let command = crate::cli::Arguments::command();
        let build = command.find_subcommand("build").unwrap();
        for argument in build.get_arguments() {
            let long = argument.get_long_and_visible_aliases().unwrap_or_default();
            let short = argument.get_short_and_visible_aliases().unwrap_or_default();
            let long = long.into_iter().map(|flag| format!("--{flag}"));
            let short = short.into_iter().map(|flag| format!("-{flag}"));
            for flag in long.chain(short) {
                assert!(why(&flag).is_none(), "{flag}");
            }
        }
    }

    #[test]
    fn flags_that_docker_build_has_say_what_to_do_instead() {
        assert!(why("--cpu-quota").unwrap().contains("--cpus"));
        assert!(why("-c").is_some());
        assert!(why("--nonsense").is_none());
    }
}
