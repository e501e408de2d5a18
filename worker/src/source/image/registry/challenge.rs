//! `WWW-Authenticate`: how a registry says what it wants to see (RFC 9110, section 11.6.1).

/// What a registry wants to see before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user name and password.
    Basic,
    /// A token from `realm`, which itself may want a user name and password.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The challenge to answer out of all `WWW-Authenticate` header lines: a token where that is offered.
    pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for header in headers {
            match parse(header) {
                Some(bearer @ Self::Bearer { .. }) => return Some(bearer),
                Some(Self::Basic) => basic = Some(Self::Basic),
                None => {}
            }
        }
        basic
    }
}

/// Reads the first challenge of a header line.
fn parse(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest;
    while let Some((name, value, after)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            // The scope is what we ask for, not what a registry suggests.
            _ => {}
        }
        rest = after;
    }
    Some(Challenge::Bearer {
        realm: realm?,
        service,
    })
}

/// Splits `name=value` or `name="value"` off; returns what follows too.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        let (value, after) = rest.split_at_checked(end)?;
        return Some((name.trim(), value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((name.trim(), value, quoted.get(index + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_without_harm(header in "(Bearer |Basic )?([a-z]{0,4}=\"?[^\"]{0,4}[\"\\\\]?,? ?){0,4}") {
            let _ = Challenge::choose([header.as_str()].into_iter());
        }
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b,c""#,
                ][..],
                Some(bearer("https://auth.docker.io/token", Some("registry.docker.io"))),
            ),
            (
                &[r#"bearer scope="x,y" , realm=https://a/t"#],
                Some(bearer("https://a/t", None)),
            ),
            (&[r#"Basic realm="a \"b\"""#], Some(Challenge::Basic)),
            (&["Basic", r#"Bearer realm="r""#], Some(bearer("r", None))),
            (&["Negotiate"], None),
            (&[r#"Bearer service="s""#], None),
            (&[r#"Bearer realm="unfinished"#], None),
            (&[""], None),
        ] {
            assert_eq!(
                Challenge::choose(headers.iter().copied()),
                expected,
                "{headers:?}"
            );
        }
    }
}
