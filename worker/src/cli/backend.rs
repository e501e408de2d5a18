//! `--backend`: who carries builds out.

#![expect(
    clippy::doc_markdown,
    reason = "clap shows these comments to people, as they are"
)]

use std::path::PathBuf;

use super::Failure;
use crate::backend::buildkit::{Address, Certificates, Route};
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Who carries builds out: `embedded` is this machine, `buildkit=ADDRESS` a BuildKit at unix://PATH, tcp://HOST:PORT, or
    /// docker://[PATH] for the one in Docker's engine; of several, ADDRESS,ADDRESS, one that is well and has the least to do
    /// [default: those of the configuration, else embedded]
    #[arg(long, value_name = "BACKEND", env = "STAGEWRIGHT_BACKEND", value_parser = Choice::read)]
    backend: Option<Choice>,

    /// The folder with ca.pem, cert.pem and key.pem for a BuildKit beyond this machine
    #[arg(long, value_name = "DIR", env = "STAGEWRIGHT_BACKEND_CERTS")]
    backend_certs: Option<PathBuf>,
}

/// What the flag says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Embedded,
    /// Where they are; none where the configuration says it.
    Buildkit(Vec<Address>),
}

impl Choice {
    fn read(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "embedded" => Ok(Self::Embedded),
            None if text == "buildkit" => Ok(Self::Buildkit(Vec::new())),
            Some(("buildkit", places)) => {
                let mut addresses: Vec<Address> = Vec::new();
                for place in places.split(',') {
                    let address = place.trim().parse()?;
                    if addresses.contains(&address) {
                        return Err(format!("{address} is there twice"));
                    }
                    addresses.push(address);
                }
                Ok(Self::Buildkit(addresses))
            }
            _ => Err("a backend is embedded, or buildkit=ADDRESS".to_owned()),
        }
    }
}

impl Arguments {
    /// Whether a BuildKit is asked for.
    pub(super) fn names_one(&self) -> bool {
        matches!(self.backend, Some(Choice::Buildkit(_)))
    }

    /// How the daemons are reached that are to build; none where this machine is.
    pub(super) fn routes(&self, config: &Config) -> Result<Vec<Route>, Failure> {
        let usage = |message: &str, hint: &str| Err(Failure::new(Failure::USAGE, message).hint(hint));
        let addresses = match &self.backend {
            Some(Choice::Embedded) => return Ok(Vec::new()),
            Some(Choice::Buildkit(addresses)) if addresses.is_empty() && config.buildkit.is_empty() => {
                return usage(
                    "no BuildKit is configured",
                    "write --backend buildkit=unix:///run/buildkit/buildkitd.sock, or [[buildkit]] in the configuration",
                );
            }
            None => return Ok(config.buildkit.clone()),
            Some(Choice::Buildkit(addresses)) if addresses.is_empty() => return Ok(config.buildkit.clone()),
            Some(Choice::Buildkit(addresses)) => addresses,
        };
        let route = |address: &Address| {
            let configured = config.buildkit.iter().find(|route| route.address == *address);
            let encrypted = !matches!(address.place(), crate::backend::buildkit::Place::Socket(_));
            let given = self
                .backend_certs
                .as_deref()
                .filter(|_| encrypted)
                .map(Certificates::in_folder);
            let route = Route {
                address: address.clone(),
                certificates: given.or_else(|| configured.and_then(|route| route.certificates.clone())),
            };
            route
                .check()
                .map_err(|error| Failure::new(Failure::USAGE, error.to_string()))?;
            Ok(route)
        };
        addresses.iter().map(route).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(backend: Option<&str>, certs: Option<&str>, config: &str) -> Result<Vec<Route>, String> {
        let arguments = Arguments {
            backend: backend.map(|text| Choice::read(text).unwrap()),
            backend_certs: certs.map(PathBuf::from),
        };
        let config = Config::parse(config, std::path::Path::new("/etc")).unwrap();
        arguments.routes(&config).map_err(|failure| failure.message)
    }

    fn told(routes: &[Route]) -> Vec<(String, bool)> {
        let tell = |route: &Route| (route.address.to_string(), route.certificates.is_some());
        routes.iter().map(tell).collect()
    }

    #[test]
    fn flag_goes_before_the_configuration_and_takes_certificates_from_it() {
        let config = "[[buildkit]]\naddress = \"tcp://a:1\"\nca = \"ca.pem\"\n";
        let a = [("tcp://a:1".to_owned(), true)];
        assert_eq!(told(&routes(None, None, config).unwrap()), a);
        assert_eq!(told(&routes(Some("buildkit"), None, config).unwrap()), a);
        assert_eq!(told(&routes(Some("embedded"), None, config).unwrap()), []);
        assert_eq!(told(&routes(None, None, "").unwrap()), []);
        let two = routes(Some("buildkit=/b,tcp://a:1"), None, config).unwrap();
        assert_eq!(told(&two), [("unix:///b".to_owned(), false), a[0].clone()]);
        let given = routes(Some("buildkit=tcp://c:1,/b"), Some("/certs"), "").unwrap();
        assert_eq!(
            told(&given),
            [("tcp://c:1".to_owned(), true), ("unix:///b".to_owned(), false)]
        );
    }

    #[test]
    fn what_cannot_be_a_backend_says_what_can() {
        for text in ["docker", "buildkit=", "buildkit=a", "buildkit=/a,/a", "kaniko=x"] {
            assert!(Choice::read(text).is_err(), "{text}");
        }
        assert!(
            routes(Some("buildkit"), None, "")
                .unwrap_err()
                .contains("configured")
        );
        assert!(
            routes(Some("buildkit=tcp://a:1"), None, "")
                .unwrap_err()
                .contains("without encryption")
        );
    }
}
