//! `STOPSIGNAL`: what asks the image's process to end.

use crate::diagnostic::Problem;
use crate::instruction::stopsignal::Stopsignal;
use crate::plan::build::Step;

/// Linux's signals, without `SIG`. Real-time ones are told apart by number.
const SIGNALS: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX", "UNUSED",
];

pub(super) fn lower(step: &mut Step<'_, '_>, stopsignal: &Stopsignal) -> Result<(), Problem> {
    let signal = step.expand_word(&stopsignal.signal)?;
    if !is_signal(&signal) {
        let name = signal.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        return Err(
            Problem::new("unknown-signal", format!("There is no signal \"{signal}\"."))
                .at(stopsignal.signal.span)
                .hint("Give its name, such as SIGTERM, or its number.")
                .suggest(name, SIGNALS),
        );
    }
    step.commit(format!("STOPSIGNAL {signal}"), false);
    step.build.image.config.stop_signal = signal.into_owned();
    Ok(())
}

fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |prefix: &str, most: u8| {
        name.strip_prefix(prefix)
            .is_some_and(|number| number.parse().is_ok_and(|number| (1..=most).contains(&number)))
    };
    (SIGNALS.contains(&name) && name != "UNUSED") || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for good in ["SIGTERM", "term", "9", "RTMIN+3", "SIGRTMAX-14"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "0", "SIGNONE", "RTMIN+16", "RTMAX-0"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
