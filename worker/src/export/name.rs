//! What to call an image whose build has a title.

use crate::source::image::reference::Reference;

/// The reference that is closest to a title: itself where it is one, else what is left of it once everything that a
/// name may not have was replaced, else `image`.
pub fn name_for(title: &str) -> Reference {
    let slug = slug(title);
    for candidate in [title.trim(), &slug] {
        // A digest would claim to be the image's own.
        if let Ok(reference) = candidate.parse::<Reference>()
            && reference.digest().is_none()
        {
            return reference;
        }
    }
    Reference::unnamed()
}

fn slug(title: &str) -> String {
    let mut slug = String::new();
    for character in title.chars().take(100) {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_gives_a_name() {
        for (title, name) in [
            ("href-counter", "docker.io/library/href-counter:latest"),
            ("ghcr.io/a/b:1.0", "ghcr.io/a/b:1.0"),
            ("My first build!", "docker.io/library/my-first-build:latest"),
            ("  -- ", "docker.io/library/image:latest"),
            ("", "docker.io/library/image:latest"),
            ("größe", "docker.io/library/gr-e:latest"),
            ("../../etc/passwd", "docker.io/library/etc-passwd:latest"),
        ] {
            assert_eq!(name_for(title).to_string(), name, "{title:?}");
        }
    }
}
