//! What every `RUN` of a build gets beside what it says itself, written as docker build has it: hosts, limits and shared
//! memory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use stagewright_core::llb::{HostIp, Ulimit};

use crate::sandbox;

/// Limits in the order of their names; of several with one name the last counts.
pub(crate) fn settled(limits: &[Ulimit]) -> Vec<Ulimit> {
    let by_name: BTreeMap<&str, &Ulimit> = limits.iter().map(|limit| (limit.name.as_str(), limit)).collect();
    by_name.into_values().cloned().collect()
}

/// Reads `NAME:ADDRESS` or `NAME=ADDRESS`; the error completes clap's own sentence.
pub(crate) fn host(text: &str) -> Result<HostIp, String> {
    let Some((name, address)) = text.split_once('=').or_else(|| text.split_once(':')) else {
        return Err("it names no address: write NAME:ADDRESS, such as db:10.0.0.5".into());
    };
    if name.is_empty() {
        return Err("it names no host: write NAME:ADDRESS, such as db:10.0.0.5".into());
    }
    if name.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(format!("{name:?} cannot be the name of a host"));
    }
    if address == "host-gateway" {
        return Err(
            "host-gateway is what Docker calls an address of its own; name the machine's address".into(),
        );
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    let address: IpAddr = bare
        .parse()
        .map_err(|_| format!("{address:?} is no address: it is like 10.0.0.5 or 2001:db8::1"))?;
    Ok(HostIp {
        host: name.to_ascii_lowercase(),
        ip: address.to_canonical().to_string(),
    })
}

/// Reads `NAME=SOFT[:HARD]`, -1 being no limit.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let written = "write NAME=SOFT[:HARD], such as nofile=1024:2048";
    let (name, values) = text
        .split_once('=')
        .ok_or_else(|| format!("it has no value: {written}"))?;
    let number = |text: &str| {
        let number = text.parse::<i64>().ok().filter(|number| *number >= -1);
        number.ok_or_else(|| format!("{text:?} is no limit: {written}; -1 is none"))
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    // Docker has no limit of address space.
    if name == "as" || sandbox::Ulimit::named(name, soft, hard).is_none() {
        return Err(format!(
            "there is no limit called {name:?}; there are {}",
            LIMITS.join(", ")
        ));
    }
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!(
            "the soft limit {soft} is above the hard one, {hard}, which is how far it may be raised"
        ));
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads a size as docker build has it: all units are binary, and small letters do.
pub(crate) fn size(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no size: write bytes, or a number and b, k, m or g, as in 128m");
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.trim_start();
    let letter = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(unit);
    let power = match letter {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.parse::<u128>().map_err(|_| wrong());
    let mut bytes = digits(whole)?.checked_shl(power).ok_or_else(wrong)?;
    if !part.is_empty() && part.len() <= 18 {
        let tenths = 10_u128.pow(u32::try_from(part.len()).unwrap_or_default());
        bytes += (digits(part)? << power) / tenths;
    }
    i64::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_either_sign_and_addresses_in_their_usual_form() {
        let read = |text: &str| host(text).map(|host| (host.host, host.ip));
        for (text, name, ip) in [
            ("db:10.0.0.5", "db", "10.0.0.5"),
            ("DB=10.0.0.5", "db", "10.0.0.5"),
            ("six:2001:DB8:0::1", "six", "2001:db8::1"),
            ("six=[::1]", "six", "::1"),
            ("mapped=::ffff:1.2.3.4", "mapped", "1.2.3.4"),
        ] {
            assert_eq!(read(text), Ok((name.into(), ip.into())), "{text}");
        }
        for (text, said) in [
            ("db", "names no address"),
            (":1.2.3.4", "names no host"),
            ("db:1.2.3", "is no address"),
            ("db:host-gateway", "of its own"),
            ("a b:1.2.3.4", "cannot be the name"),
        ] {
            let error = host(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn limits_are_read_and_the_last_of_a_name_counts() {
        let read = |text: &str| ulimit(text).map(|limit| (limit.soft, limit.hard));
        assert_eq!(read("nofile=5"), Ok((5, 5)));
        assert_eq!(read("stack=5:-1"), Ok((5, -1)));
        for (text, said) in [
            ("nofile", "has no value"),
            ("files=1", "there are core"),
            ("as=1", "there are core"),
            ("nofile=2:1", "above the hard"),
            ("nofile=-1:1", "above the hard"),
            ("nofile=1:2:3", "is no limit"),
            ("nofile=x", "is no limit"),
        ] {
            let error = ulimit(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        for name in LIMITS {
            assert!(ulimit(&format!("{name}=1")).is_ok(), "{name}");
        }
        let given = ["nproc=1", "core=0", "nproc=2"].map(|text| ulimit(text).unwrap());
        let limits: Vec<(String, i64)> = settled(&given)
            .into_iter()
            .map(|limit| (limit.name, limit.hard))
            .collect();
        assert_eq!(limits, [("core".into(), 0), ("nproc".into(), 2)]);
    }

    #[test]
    fn sizes_are_binary_in_any_spelling() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("7 kb", 7 << 10),
            ("7b", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "0", "-1", "1x", "1ib", "99999999999t", "1.2.3"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
