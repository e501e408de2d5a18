//! What a build may be allowed beyond its steps' sandbox.

use std::fmt;
use std::str::FromStr;

/// A right that nobody has unless it is given to them. The names are BuildKit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// Steps may use the machine's own network, and so reach whatever listens on its loopback.
    NetworkHost,
    /// Steps may run without confinement: with all capabilities, devices and system calls.
    SecurityInsecure,
}

impl Entitlement {
    const ALL: [Self; 2] = [Self::NetworkHost, Self::SecurityInsecure];

    /// What it is called on command lines and in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkHost => "network.host",
            Self::SecurityInsecure => "security.insecure",
        }
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Entitlement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|entitlement| entitlement.name() == text);
        found.ok_or_else(|| match text {
            "device" => "devices of the machine are not lent to single steps; there are network.host and security.insecure"
                .to_owned(),
            _ => format!("there is nothing called {text:?} to allow; there are network.host and security.insecure"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        for entitlement in Entitlement::ALL {
            assert_eq!(entitlement.name().parse(), Ok(entitlement));
        }
        for (text, said) in [("network", "network.host"), ("device", "not lent")] {
            let error = text.parse::<Entitlement>().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
