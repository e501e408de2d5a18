//! The packet filter's rules, by whichever tool the machine has.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::PREFIX;
use crate::rootless::find;

/// A tool that sets rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firewall {
    /// `iptables`. Preferred: a Docker engine drops forwarded packets by it, and only it can make an exception.
    Iptables,
    /// `nft`.
    Nft,
}

/// A rule of `iptables`: its table, chain and text.
type Rule = (&'static str, &'static str, Vec<String>);

impl Firewall {
    /// The tool that works here, or a sentence on what is missing.
    pub(super) fn find() -> Result<Self, String> {
        let works = |program: &str, arguments: &[&str]| {
            self::program(program)
                .args(arguments)
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success())
        };
        if works("iptables", &["-w", "-t", "nat", "-S", "POSTROUTING"]) {
            Ok(Self::Iptables)
        } else if works("nft", &["list", "tables"]) {
            Ok(Self::Nft)
        } else {
            Err("neither iptables nor nft works here; install one of them and give the worker the NET_ADMIN capability".to_owned())
        }
    }

    /// Whether there is a tool for a network that nobody else has rules in; else a sentence on what is missing.
    pub(super) fn find_for_new() -> Result<(), String> {
        match find("nft").or_else(|| find("iptables-restore")) {
            Some(_) => Ok(()),
            None => Err(
                "neither nft nor iptables is here: install one of them (Debian's packages are nftables and iptables)"
                    .to_owned(),
            ),
        }
    }

    /// Sets the rules in a network that nobody else has rules in: all at once, by whichever tool there is. `place` is a
    /// directory of the worker's.
    pub(super) fn install_in_new(network: Ipv4Addr, place: &Path) -> Result<(), String> {
        nft(&(nft_rules(network) + NOTHING_FOR_ITSELF)).or_else(|nft| {
            let mut command = program("iptables-restore");
            // The usual place of it is root's.
            command.env("XTABLES_LOCKFILE", place.join("lock"));
            fed(command, &restored_rules(network)).map_err(|iptables| format!("{nft}, and {iptables}"))
        })
    }

    /// Sets the rules unless they are there. Those of a former worker that had another of `networks` would refuse what is
    /// allowed now, and are taken away.
    pub(super) fn install(self, network: Ipv4Addr, networks: &[Ipv4Addr]) -> Result<(), String> {
        match self {
            Self::Iptables => {
                let current = iptables_rules(network);
                for former in networks.iter().filter(|former| **former != network) {
                    for (table, chain, rule) in iptables_rules(*former) {
                        let shared = current.iter().any(|(_, _, kept)| *kept == rule);
                        if !shared && iptables(table, "-C", chain, &rule)?.status.success() {
                            iptables(table, "-D", chain, &rule)?;
                        }
                    }
                }
                for (table, chain, rule) in current {
                    if iptables(table, "-C", chain, &rule)?.status.success() {
                        continue;
                    }
                    // At the front: what others decide must not come before.
                    let output = iptables(table, "-I", chain, &rule)?;
                    if !output.status.success() {
                        return Err(said("iptables", &output));
                    }
                }
                Ok(())
            }
            Self::Nft => nft(&nft_rules(network)),
        }
    }
}

/// In the order in which they are put at the front of their chains: the last one of a chain is looked at first.
fn iptables_rules(network: Ipv4Addr) -> Vec<Rule> {
    let steps = format!("{PREFIX}+");
    let rule = |text: &str| {
        text.replace("STEPS", &steps)
            .replace("NETWORK", &format!("{network}/16"))
            .split(' ')
            .map(ToOwned::to_owned)
            .collect()
    };
    vec![
        ("nat", "POSTROUTING", rule("-s NETWORK ! -o STEPS -j MASQUERADE")),
        ("filter", "FORWARD", rule("-i STEPS -j ACCEPT")),
        (
            "filter",
            "FORWARD",
            rule("-o STEPS -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ),
        ("filter", "FORWARD", rule("-i STEPS -o STEPS -j DROP")),
        ("filter", "FORWARD", rule("-i STEPS -d 169.254.0.0/16 -j DROP")),
        ("filter", "FORWARD", rule("-i STEPS ! -s NETWORK -j DROP")),
        ("filter", "INPUT", rule("-i STEPS -j DROP")),
    ]
}

/// The same as one table, replaced as a whole.
fn nft_rules(network: Ipv4Addr) -> String {
    format!(
        "add table ip stagewright\n\
         delete table ip stagewright\n\
         table ip stagewright {{\n\
         chain out {{ type nat hook postrouting priority 100; ip saddr {network}/16 oifname != \"{PREFIX}*\" masquerade; }}\n\
         chain machine {{ type filter hook input priority -10; iifname \"{PREFIX}*\" drop; }}\n\
         chain around {{ type filter hook forward priority -10;\n\
         iifname \"{PREFIX}*\" oifname \"{PREFIX}*\" drop;\n\
         iifname \"{PREFIX}*\" ip saddr != {network}/16 drop;\n\
         iifname \"{PREFIX}*\" ip daddr 169.254.0.0/16 drop; }}\n\
         }}\n"
    )
}

fn iptables(table: &str, action: &str, chain: &str, rule: &[String]) -> Result<Output, String> {
    program("iptables")
        .args(["-w", "-t", table, action, chain])
        .args(rule)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("iptables cannot be run ({error})"))
}

/// What more holds in a network that is there for steps only: nothing is for itself, and what belongs to no connection goes
/// nowhere. Some versions of pasta send pieces of connections in a form that the address translation does not know as such; the
/// network would answer them itself, and so end the connection.
const NOTHING_FOR_ITSELF: &str = "\
    add chain ip stagewright itself { type filter hook input priority -10; policy drop; }\n\
    add chain ip stagewright strays { type filter hook forward priority -11; }\n\
    add rule ip stagewright strays ct state invalid drop\n";

/// All of that as one text for `iptables-restore`.
fn restored_rules(network: Ipv4Addr) -> String {
    let mut text = String::new();
    for wanted in ["nat", "filter"] {
        _ = writeln!(text, "*{wanted}");
        // What is to be looked at first is the last that is put at the front, and the first that is put at the end.
        if wanted == "filter" {
            text.push_str("-A INPUT -j DROP\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n");
        }
        for (_, chain, rule) in iptables_rules(network)
            .iter()
            .rev()
            .filter(|(table, ..)| *table == wanted)
        {
            _ = writeln!(text, "-A {chain} {}", rule.join(" "));
        }
        text.push_str("COMMIT\n");
    }
    text
}

fn nft(script: &str) -> Result<(), String> {
    let mut command = program("nft");
    command.args(["-f", "-"]);
    fed(command, script)
}

/// A program that may lie where only root's `PATH` leads to.
fn program(name: &str) -> Command {
    Command::new(find(name).unwrap_or(name.into()))
}

/// Runs a program with a text as its input.
fn fed(mut command: Command, text: &str) -> Result<(), String> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let program = program.to_string_lossy().into_owned();
    let mut run = || -> std::io::Result<Output> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| format!("{program} cannot be run ({error})"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(said(&program, &output))
    }
}

fn said(program: &str, output: &Output) -> String {
    format!(
        "{program} refused a rule: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_looked_at_before_what_is_allowed() {
        let rules = iptables_rules(Ipv4Addr::new(10, 231, 0, 0));
        let forward: Vec<String> = rules
            .iter()
            .rev()
            .filter(|(_, chain, _)| *chain == "FORWARD")
            .map(|(_, _, rule)| rule.join(" "))
            .collect();
        assert_eq!(
            forward,
            [
                "-i sw-+ ! -s 10.231.0.0/16 -j DROP",
                "-i sw-+ -d 169.254.0.0/16 -j DROP",
                "-i sw-+ -o sw-+ -j DROP",
                "-o sw-+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-i sw-+ -j ACCEPT",
            ]
        );
        assert!(
            rules
                .iter()
                .any(|(_, chain, rule)| *chain == "INPUT" && rule.join(" ") == "-i sw-+ -j DROP")
        );
    }
    #[test]
    fn a_text_for_all_rules_has_them_in_the_order_in_which_they_are_looked_at() {
        let text = restored_rules(Ipv4Addr::new(10, 231, 0, 0));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "*nat",
                "-A POSTROUTING -s 10.231.0.0/16 ! -o sw-+ -j MASQUERADE",
                "COMMIT",
                "*filter",
                "-A INPUT -j DROP",
                "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
                "-A INPUT -i sw-+ -j DROP",
                "-A FORWARD -i sw-+ ! -s 10.231.0.0/16 -j DROP",
                "-A FORWARD -i sw-+ -d 169.254.0.0/16 -j DROP",
                "-A FORWARD -i sw-+ -o sw-+ -j DROP",
                "-A FORWARD -o sw-+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-A FORWARD -i sw-+ -j ACCEPT",
                "COMMIT",
            ]
        );
    }
}
