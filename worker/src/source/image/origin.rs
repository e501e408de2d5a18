//! The places an image may come from, in the order in which they are tried.

use super::error::ImageError;
use super::layout::Layout;
use super::reference::Reference;
use super::registry::{Endpoint, Selector};
use super::{Inner, Lent};
use crate::config::{LayoutImage, Substitute, SubstituteSource};

/// A place that may hold an image.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) place: Place,
    /// What people should know of it.
    pub(super) note: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    Registry(Box<Endpoint>, Selector),
    Layout(Layout),
}

impl Inner {
    /// Where `reference` may come from: its substitute, its registry's mirrors, its registry. A substitute stands
    /// alone, but where a digest is asked for that it may not have.
    pub(super) fn origins(&self, reference: &Reference) -> Result<Vec<Origin>, ImageError> {
        match self.lent(reference) {
            Some(Lent::Here) => return Ok(Vec::new()),
            Some(Lent::Layout(path)) => {
                let digest = reference.digest().cloned();
                let place = Place::Layout(Layout {
                    reference: reference.clone(),
                    path,
                    image: digest.map_or(LayoutImage::Only, LayoutImage::Digest),
                });
                return Ok(vec![Origin { place, note: None }]);
            }
            None => {}
        }
        let mut origins = Vec::new();
        if let Some(substitute) = self.substitute(reference) {
            let note = substitute.note.clone();
            match &substitute.from {
                SubstituteSource::Layout { path, image } => {
                    let (reference, path, image) = (reference.clone(), path.clone(), image.clone());
                    let place = Place::Layout(Layout {
                        reference,
                        path,
                        image,
                    });
                    origins.push(Origin { place, note });
                }
                SubstituteSource::Image(other) => {
                    let pinned = reference.digest().map(|digest| other.with_digest(digest.clone()));
                    origins.extend(self.registries(
                        reference,
                        pinned.as_ref().unwrap_or(other),
                        note.as_ref(),
                    ));
                }
            }
            if reference.digest().is_none() {
                return Ok(origins);
            }
        }
        if self.config.allows_registry(reference.registry()) {
            origins.extend(self.registries(reference, reference, None));
        } else if origins.is_empty() {
            return Err(ImageError::NotAllowed {
                reference: Box::new(reference.clone()),
            });
        }
        Ok(origins)
    }

    /// Where `reference`'s own registry is: its mirrors, and last the registry itself.
    pub(super) fn registry_origins(&self, reference: &Reference) -> Result<Vec<Origin>, ImageError> {
        if self.config.allows_registry(reference.registry()) {
            Ok(self.registries(reference, reference, None))
        } else {
            Err(ImageError::NotAllowed {
                reference: Box::new(reference.clone()),
            })
        }
    }

    /// The substitute whose image `reference` names: the same one, or the same tag pinned to some digest.
    pub(super) fn substitute(&self, reference: &Reference) -> Option<&Substitute> {
        self.config.substitutes.iter().find(|substitute| {
            let image = &substitute.image;
            image == reference
                || (image.same_repository(reference)
                    && image.digest().is_none()
                    && (image.tag() == reference.tag() || reference.tag().is_none()))
        })
    }

    /// The mirrors of `target`'s registry, then the registry. `asked` is the image that messages name.
    fn registries(&self, asked: &Reference, target: &Reference, note: Option<&String>) -> Vec<Origin> {
        let selector = match (target.digest(), target.tag()) {
            (Some(digest), _) => Selector::Digest(digest.clone()),
            (None, tag) => Selector::Tag(tag.unwrap_or("latest").to_owned()),
        };
        let origin = |endpoint| Origin {
            place: Place::Registry(Box::new(endpoint), selector.clone()),
            note: note.cloned(),
        };
        let name = target.registry();
        let settings = self.config.registries.get(name);
        let mirrors = settings
            .map(|settings| settings.mirrors.as_slice())
            .unwrap_or_default();
        let mut origins = Vec::new();
        for mirror in mirrors {
            let prefix = if mirror.prefix.is_empty() {
                String::new()
            } else {
                format!("{}/", mirror.prefix)
            };
            origins.push(origin(Endpoint {
                reference: asked.clone(),
                registry: mirror.host.clone(),
                host: connect_to(&mirror.host),
                repository: format!("{prefix}{}", target.repository()),
                plain_http: mirror.plain_http,
                credentials: self.credentials(&mirror.host),
            }));
        }
        origins.push(origin(Endpoint {
            reference: asked.clone(),
            registry: name.to_owned(),
            host: connect_to(name),
            repository: target.repository().to_owned(),
            plain_http: settings
                .and_then(|settings| settings.plain_http)
                .unwrap_or_else(|| is_loopback(name)),
            credentials: self.credentials(name),
        }));
        origins
    }

    fn credentials(&self, registry: &str) -> Option<crate::config::Credentials> {
        self.config.registries.get(registry)?.credentials.clone()
    }
}

/// Docker Hub answers under another name than the one in its references.
fn connect_to(registry: &str) -> String {
    if registry == "docker.io" {
        "registry-1.docker.io".to_owned()
    } else {
        registry.to_owned()
    }
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => registry,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback_is_an_address_and_not_a_beginning_of_a_name() {
        for name in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "localhost.evil.com",
            "127.0.0.1.evil.com:80",
            "docker.io",
            "10.0.0.1:5000",
            "[fe80::1]:1",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
