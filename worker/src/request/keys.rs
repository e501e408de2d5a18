//! `KEY=VALUE,KEY=VALUE`, in which `docker build` takes what one flag says at several places.

use std::collections::BTreeMap;

/// Keys and their values. Who reads them takes out what it knows, and what is left nobody knows.
pub(crate) struct Keys(BTreeMap<String, String>);

impl Keys {
    /// Reads what [`fields`] gives. Keys are the same in upper and lower case, as `docker build` has it. `instead` says
    /// what else the flag takes, for people who wrote no keys.
    pub(crate) fn read(fields: &[String], instead: &str) -> Result<Self, String> {
        let mut keys = BTreeMap::new();
        for field in fields {
            let (key, value) = field.split_once('=').ok_or_else(|| {
                format!("{field:?} has no value: {instead}, or KEY=VALUE,KEY=VALUE with a type")
            })?;
            let key = key.trim().to_lowercase();
            if let Some(before) = keys.insert(key.clone(), value.to_owned()) {
                return Err(format!("{key} is there twice, as {before:?} and {value:?}"));
            }
        }
        Ok(Self(keys))
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Takes all keys that begin so.
    pub(crate) fn take_all(&mut self, start: &str) -> BTreeMap<String, String> {
        let (taken, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(key, _)| key.starts_with(start));
        self.0 = left;
        taken
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.take(key).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(format!("{key} is {other:?}, and can be true or false")),
        }
    }

    /// A key that nobody took.
    pub(crate) fn rest(self) -> Option<String> {
        self.0.into_keys().next()
    }
}

/// Splits at commas, but not within quotes (RFC 4180): `type=image,"name=a,b"`.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut left = quoted;
        loop {
            let (part, after) = left.split_once('"').ok_or("a quote in it does not end")?;
            field.push_str(part);
            if let Some(after) = after.strip_prefix('"') {
                field.push('"');
                left = after;
            } else {
                left = after;
                break;
            }
        }
        fields.push(field);
        match left.strip_prefix(',') {
            Some(after) => rest = after,
            None if left.is_empty() => return Ok(fields),
            None => return Err("something stands behind the end of a quote in it".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Keys, String> {
        Keys::read(&fields(text)?, "it is a place")
    }

    #[test]
    fn keys_are_the_same_in_upper_and_lower_case_and_values_are_not() {
        let mut read = keys("Type=Image, PUSH=1,\"name=a,B\"").unwrap();
        assert_eq!(read.take("type").as_deref(), Some("Image"));
        assert_eq!(read.flag("push"), Ok(Some(true)));
        assert_eq!(read.flag("push"), Ok(None));
        assert_eq!(read.rest().as_deref(), Some("name"));
        assert!(
            keys("push=1,Push=0")
                .err()
                .unwrap()
                .contains("push is there twice")
        );
    }

    #[test]
    fn keys_that_begin_alike_are_taken_together() {
        let mut read = keys("a.x=1,b=2,a-y=3").unwrap();
        let taken: Vec<String> = read.take_all("a").into_keys().collect();
        assert_eq!(taken, ["a-y", "a.x"]);
        assert_eq!(read.rest().as_deref(), Some("b"));
    }

    #[test]
    fn what_is_no_key_says_what_there_is() {
        assert!(
            keys("type=a,b")
                .err()
                .unwrap()
                .contains("it is a place, or KEY=VALUE")
        );
        assert!(
            keys("a=perhaps")
                .unwrap()
                .flag("a")
                .unwrap_err()
                .contains("true or false")
        );
    }
}
