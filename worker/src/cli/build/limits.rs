//! The flags about what one `RUN` may use up. They change no plan and no cache key: a step that stays within its limits
//! gives the same with any.

use std::time::Duration;

use crate::request::steps::size;
use crate::sandbox::Limits;

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Limit the memory of each RUN's processes together, as in 2g [default: step-memory of the configuration, 8GiB]
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    memory: Option<i64>,

    /// Limit each RUN to that many processors, as in 1.5 [default: step-processors of the configuration, all]
    #[arg(long, value_name = "NUMBER", value_parser = processors)]
    cpus: Option<u64>,

    /// Limit the processes and threads of each RUN [default: step-processes of the configuration, 4096]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pids_limit: Option<u64>,

    /// End each RUN after that many seconds [default: step-seconds of the configuration, 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    step_timeout: Option<u64>,
}

impl Arguments {
    /// Whether anything is limited otherwise.
    pub(super) fn any(&self) -> bool {
        self.memory.is_some()
            || self.cpus.is_some()
            || self.pids_limit.is_some()
            || self.step_timeout.is_some()
    }

    /// What is limited otherwise than the worker does by itself.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory: self.memory.and_then(|bytes| u64::try_from(bytes).ok()),
            pids: self.pids_limit,
            cpu_millis: self.cpus,
            wall_time: self.step_timeout.map(Duration::from_secs),
            log_bytes: None,
        }
    }
}

/// Reads a number of processors, in thousandths of one.
fn processors(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number of processors: write one such as 2 or 0.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let thousandths: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    let millis = u64::from(whole) * 1000 + u64::from(thousandths);
    // The kernel hands processor time out in pieces of a millisecond at least, of a hundred.
    if millis < 10 {
        return Err(format!(
            "{text:?} is too little of a processor: write 0.01 or more"
        ));
    }
    Ok(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_whole_or_in_parts() {
        for (text, millis) in [("1", 1000), ("0.5", 500), ("12.125", 12_125), ("0.01", 10)] {
            assert_eq!(processors(text), Ok(millis), "{text}");
        }
        for text in [
            "",
            "0",
            "0.001",
            "-1",
            "1.",
            ".5",
            "1.1234",
            "1,5",
            "two",
            "1e3",
            "99999999999",
        ] {
            assert!(processors(text).is_err(), "{text}");
        }
    }
}
