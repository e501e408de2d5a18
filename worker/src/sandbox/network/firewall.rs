//! The packet filter's rules, by whichever tool the machine has.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

use super::PREFIX;

/// A tool that sets rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Firewall {
    /// `iptables`. Preferred: a Docker engine drops forwarded packets by it, and only it can make an exception.
    Iptables,
    /// `nft`.
    Nft,
}

/// A rule of `iptables`: its table, chain and text.
type Rule = (&'static str, &'static str, Vec<String>);

impl Firewall {
    /// The tool that works here, or a sentence on what is missing.
    pub(in crate::sandbox) fn find() -> Result<Self, String> {
        let works = |program: &str, arguments: &[&str]| {
            Command::new(program)
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
    Command::new("iptables")
        .args(["-w", "-t", table, action, chain])
        .args(rule)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("iptables cannot be run ({error})"))
}

fn nft(script: &str) -> Result<(), String> {
    let run = || -> std::io::Result<Output> {
        let mut child = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| format!("nft cannot be run ({error})"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(said("nft", &output))
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
}
