//! Bringing in files from outside.

/// Files from outside (`pb.SourceOp`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SourceOp {
    /// `docker-image://…`, `local://…`, `git://…`, `https://…`.
    #[prost(string, tag = "1")]
    pub identifier: String,
    /// Options, sorted by key; [`super::marshal()`] writes them in the order they have here.
    #[prost(message, repeated, tag = "2")]
    pub attrs: Vec<Attr>,
}

impl SourceOp {
    /// A source with `attrs`, which it sorts.
    pub fn new(identifier: String, attrs: Vec<Attr>) -> Self {
        Self {
            identifier,
            attrs: crate::order::by_text(attrs, |attr| &attr.key),
        }
    }

    /// The value of the attribute `key`.
    pub fn attr(&self, key: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|attr| attr.key == key)
            .map(|attr| attr.value.as_str())
    }
}

/// One entry of the map `attrs`.
///
/// On the wire a map is a list of such messages. Both fields are always written, as Go's encoder does, where a
/// derived map would leave out an empty value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Attr {
    /// `local.followpaths`, …
    #[prost(string, required, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, required, tag = "2")]
    pub value: String,
}

impl Attr {
    /// An entry.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}
