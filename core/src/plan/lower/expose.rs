//! `EXPOSE`: ports that the image listens on.

use crate::diagnostic::Problem;
use crate::instruction::expose::Expose;
use crate::plan::build::Step;
use crate::plan::go;

pub(super) fn lower(step: &mut Step<'_, '_>, expose: &Expose) -> Result<(), Problem> {
    let mut ports = Vec::new();
    for word in &expose.ports {
        let expanded = step.shared.lexer.expand(&word.text, &step.build.env);
        let words = expanded
            .map_err(|error| Problem::new("bad-expansion", error.to_string()).at(word.span))?
            .words;
        for port in words {
            ports.extend(read(&port).map_err(|message| {
                Problem::new("bad-port", format!("\"{port}\" cannot be exposed: {message}."))
                    .at(word.span)
                    .hint("Write it like 80, 53/udp or 8000-8010.")
            })?);
        }
    }
    step.commit(format!("EXPOSE {}", go::list(&ports)), false);
    step.build.image.config.exposed_ports.extend(ports);
    Ok(())
}

/// Reads `[[address:]port:]port[-port][/protocol]` as the ports inside, each with its protocol.
pub(crate) fn read(text: &str) -> Result<Vec<String>, &'static str> {
    let (outside, inside) = text.rsplit_once(':').unwrap_or(("", text));
    let (address, outside) = outside.rsplit_once(':').unwrap_or(("", outside));
    let (range, protocol) = inside.split_once('/').unwrap_or((inside, ""));
    if range.is_empty() {
        return Err("there is no port");
    }
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err("the protocol is tcp, udp or sctp"),
    };
    let plain = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    if !address.is_empty() && plain.parse::<std::net::IpAddr>().is_err() {
        return Err("it begins with something that is no address");
    }
    let (start, end) = range_of(range)?;
    if !outside.is_empty() {
        let (outer_start, outer_end) = range_of(outside)?;
        if end != start && outer_end - outer_start != end - start {
            return Err("the two ranges are of different length");
        }
    }
    Ok((start..=end).map(|port| format!("{port}/{protocol}")).collect())
}

fn range_of(text: &str) -> Result<(u16, u16), &'static str> {
    let port = |text: &str| text.parse::<u16>().map_err(|_| "a port is a number up to 65535");
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (port(start)?, port(end)?);
    if end < start {
        Err("the range runs backwards")
    } else {
        Ok((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_ranges_and_protocols() {
        assert_eq!(read("80").unwrap(), ["80/tcp"]);
        assert_eq!(read("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(read("1-3").unwrap(), ["1/tcp", "2/tcp", "3/tcp"]);
        assert_eq!(read("127.0.0.1:8080:80").unwrap(), ["80/tcp"]);
        assert_eq!(read("[::1]:8080:80").unwrap(), ["80/tcp"]);
        for bad in ["", "x", "80/http", "3-1", "65536", "1.2.3:80:80", "1-3:80-81"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
