//! A file from a web server, as a layer of one file: `ADD https://…`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use rustix::fs::{Gid, Uid, fchown};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use stagewright_core::digest::Digest;
use stagewright_core::llb::SourceOp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::super::layer::{Made, finish};
use super::super::progress::{News, Part};
use super::super::rootfs::Rootfs;
use super::{StepFailure, blocking};
use crate::backend::timestamp;
use crate::rootless::Ids;
use crate::snapshot::SnapshotStore;
use crate::source::http::{Download, Known, Question, file_name, plain_name, shown};
use crate::source::secret::Secrets;

/// Headers that a definition may set; the reference takes no others.
const HEADERS: [&str; 2] = ["accept", "user-agent"];

/// Bytes between two reports of progress.
const REPORT: u64 = 1 << 20;

/// A file that an op asks for.
pub(crate) struct RemoteFile {
    url: String,
    name: Option<String>,
    /// What it has to hash to: `sha256:…`, `sha384:…`, `sha512:…`.
    pub(crate) checksum: Option<String>,
    mode: u32,
    owner: (u32, u32),
    /// The secret whose value is the header that proves who asks.
    proof: Option<String>,
    headers: HeaderMap,
}

impl RemoteFile {
    /// Reads what an op asks for.
    pub(crate) fn of(op: &SourceOp) -> Result<Self, StepFailure> {
        let number = |key: &str| {
            let Some(text) = op.attr(key) else { return Ok(None) };
            number(text)
                .map(Some)
                .ok_or_else(|| StepFailure::new(format!("the op's {key} is no number: {text:?}")))
        };
        let checksum = op.attr("http.checksum").map(str::to_owned);
        if let Some(checksum) = &checksum {
            Sum::expecting(checksum).ok_or_else(|| {
                StepFailure::new(format!("{checksum:?} is no checksum that a file could have"))
            })?;
        }
        let mut headers = HeaderMap::new();
        for attr in &op.attrs {
            let name = attr.key.strip_prefix("http.header.").map(str::to_lowercase);
            if let Some(name) = name.filter(|name| HEADERS.contains(&name.as_str())) {
                let name = HeaderName::try_from(name).map_err(StepFailure::internal)?;
                let value = HeaderValue::try_from(&attr.value)
                    .map_err(|_| StepFailure::new(format!("the op's {} is no header's value", attr.key)))?;
                headers.insert(name, value);
            }
        }
        Ok(Self {
            url: op.identifier.clone(),
            name: op.attr("http.filename").and_then(plain_name),
            checksum,
            mode: number("http.perm")?.filter(|mode| *mode != 0).unwrap_or(0o600) & 0o7777,
            owner: (number("http.uid")?.unwrap_or(0), number("http.gid")?.unwrap_or(0)),
            proof: op.attr("http.authheadersecret").map(str::to_owned),
            headers,
        })
    }

    /// Names the question: what the answer to the same one was before is kept under it.
    pub(crate) fn identity(&self) -> Digest {
        let Self {
            url,
            name,
            checksum: _,
            mode,
            owner,
            proof,
            headers,
        } = self;
        Digest::of(format!("{url:?} {name:?} {mode} {owner:?} {proof:?} {headers:?}").as_bytes())
    }

    /// What to ask the server.
    pub(crate) fn question(
        &self,
        secrets: &Secrets,
        known: Known,
        local: bool,
    ) -> Result<Question, StepFailure> {
        let mut headers = self.headers.clone();
        if let Some(proof) = self.proof(secrets)? {
            headers.insert(AUTHORIZATION, proof);
        }
        Ok(Question {
            url: self.url.clone(),
            headers,
            known,
            local,
        })
    }

    /// The header that proves who asks: of the secret that the op names, or of one for this host where there is one.
    fn proof(&self, secrets: &Secrets) -> Result<Option<HeaderValue>, StepFailure> {
        let host = reqwest::Url::parse(&self.url).ok();
        let host = host.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let names = match &self.proof {
            Some(name) => vec![(name.clone(), "")],
            None => vec![
                (format!("HTTP_AUTH_TOKEN_{host}"), "Bearer "),
                (format!("HTTP_AUTH_HEADER_{host}"), ""),
            ],
        };
        for (name, scheme) in names {
            let found = secrets
                .get(&name)
                .map_err(|error| StepFailure::new(error.to_string()))?;
            if let Some(secret) = found {
                let mut value = scheme.as_bytes().to_vec();
                value.extend_from_slice(secret.reveal().trim_ascii());
                let value = HeaderValue::from_maybe_shared(value)
                    .map_err(|_| StepFailure::new(format!("the secret {name:?} is no header's value")));
                return value.map(|mut value| {
                    value.set_sensitive(true);
                    Some(value)
                });
            }
        }
        match &self.proof {
            Some(name) => Err(StepFailure::new(format!(
                "the download needs the secret {name:?}, and the build was given none of that name"
            ))),
            None => Ok(None),
        }
    }

    /// Writes the file to a layer of its own. What does not have the checksum that was asked for becomes none.
    pub(crate) async fn receive(
        &self,
        mut download: Download,
        snapshots: &SnapshotStore,
        tell: &(dyn Fn(News) + Send + Sync),
    ) -> Result<Received, StepFailure> {
        let active = {
            let snapshots = snapshots.clone();
            blocking(move || Ok(snapshots.begin(&[])?)).await?
        };
        let name = self.name.clone().or_else(|| download.name());
        let name = name
            .or_else(|| file_name(&self.url))
            .unwrap_or_else(|| "download".to_owned());
        let failed = |error: std::io::Error| StepFailure::new(format!("cannot write {name}: {error}"));
        let mut file = File::create_new(active.upper().join(&name)).map_err(failed)?;
        let expected = self.checksum.as_deref().and_then(Sum::expecting);
        // The first names the file here; where that is what it was asked to have, once is enough.
        let mut sums = vec![Sum::new(Kind::Sha256)];
        let other = expected.as_ref().filter(|(kind, _)| *kind != Kind::Sha256);
        sums.extend(other.map(|(kind, _)| Sum::new(*kind)));
        let started = timestamp();
        let report = |current, total, completed| {
            tell(News::Progress(Part {
                id: shown(&self.url),
                name: "downloading",
                current,
                total,
                started: started.clone(),
                completed,
            }));
        };
        let size = download.size().unwrap_or(0);
        let (mut received, mut told) = (0_u64, 0);
        report(0, size, false);
        while let Some(bytes) = download
            .next()
            .await
            .map_err(|error| StepFailure::new(error.to_string()))?
        {
            file.write_all(&bytes).map_err(failed)?;
            for sum in &mut sums {
                sum.update(&bytes);
            }
            received += bytes.len() as u64;
            if received - told >= REPORT {
                told = received;
                report(received, size, false);
            }
        }
        report(received, received, true);
        let found: Vec<String> = sums.into_iter().map(Sum::hex).collect();
        let digest = found.first().cloned().unwrap_or_default();
        if let (Some((kind, wanted)), Some(found)) = (expected, found.last())
            && wanted != *found
        {
            let (url, kind) = (shown(&self.url), kind.name());
            return Err(StepFailure::new(format!(
                "{url} has the checksum {kind}:{found}, and not {kind}:{wanted} as asked for: it was changed since, or \
                 is not the file that was meant"
            )));
        }
        let digest: Digest = format!("sha256:{digest}")
            .parse()
            .map_err(StepFailure::internal)?;
        let modified = download
            .last_modified()
            .and_then(|text| seconds(&text))
            .unwrap_or(0);
        let (permissions, (uid, gid)) = (self.mode, self.owner);
        let snapshots = snapshots.clone();
        let made = blocking(move || {
            let finished = || {
                if rustix::process::geteuid().is_root() {
                    fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                        .map_err(|error| Ids::here().explain(error, (uid, gid)))?;
                }
                file.set_permissions(std::fs::Permissions::from_mode(permissions))?;
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified))
            };
            finished()
                .map_err(|error| StepFailure::new(format!("cannot set owner, mode and time: {error}")))?;
            drop(file);
            finish(&snapshots, active, &Rootfs::default())
        })
        .await?;
        let content = format!("http 1 {digest} {name:?} {permissions} {uid} {gid} {modified}");
        Ok(Received {
            made,
            content: digest,
            result: Digest::of(content.as_bytes()),
            known: Known {
                etag: download.etag(),
                last_modified: download.last_modified(),
            },
        })
    }
}

/// A file that came, as a layer.
pub(crate) struct Received {
    /// The layer.
    pub(crate) made: Made,
    /// sha256 of the file.
    pub(crate) content: Digest,
    /// Names the layer by what is in it.
    pub(crate) result: Digest,
    /// By what the server will tell whether it changed.
    pub(crate) known: Known,
}

/// A number as attributes carry it: `420`, `0o644`, `0644`, `0x1a4`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.get(..2) {
        Some("0x" | "0X") => (text.get(2..)?, 16),
        Some("0o" | "0O") => (text.get(2..)?, 8),
        _ if text.len() > 1 && text.starts_with('0') => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    u32::from_str_radix(digits, radix).ok()
}

/// Seconds since 1970 of a time in a header; those before it are none that a file could have.
fn seconds(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sha256,
    Sha384,
    Sha512,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// A checksum in the making.
enum Sum {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Sum {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sha256 => Self::Sha256(Sha256::new()),
            Kind::Sha384 => Self::Sha384(Sha384::new()),
            Kind::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// How to get at a checksum, and its digits.
    fn expecting(checksum: &str) -> Option<(Kind, String)> {
        let (algorithm, digits) = checksum.split_once(':')?;
        let (kind, length) = match algorithm {
            "sha256" => (Kind::Sha256, 64),
            "sha384" => (Kind::Sha384, 96),
            "sha512" => (Kind::Sha512, 128),
            _ => return None,
        };
        let plain = digits.len() == length && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        plain.then(|| (kind, digits.to_ascii_lowercase()))
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::Sha384(sum) => sum.update(bytes),
            Self::Sha512(sum) => sum.update(bytes),
        }
    }

    fn hex(self) -> String {
        let bytes = match self {
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::Sha384(sum) => sum.finalize().to_vec(),
            Self::Sha512(sum) => sum.finalize().to_vec(),
        };
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        bytes
            .into_iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::llb::Attr;

    #[test]
    fn attributes_are_read_as_the_reference_reads_them() {
        for (text, value) in [
            ("0644", Some(0o644)),
            ("0o644", Some(0o644)),
            ("420", Some(420)),
            ("0x1A4", Some(420)),
            ("0", Some(0)),
            ("x", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("yesterday"), None);
        let attrs = |pairs: &[(&str, &str)]| {
            let attrs = pairs.iter().map(|(key, value)| Attr::new(*key, *value)).collect();
            RemoteFile::of(&SourceOp::new("https://example.com/x".into(), attrs))
        };
        assert_eq!(attrs(&[]).unwrap().mode, 0o600);
        assert_eq!(
            attrs(&[("http.perm", "0755"), ("http.filename", "../x")])
                .unwrap()
                .name,
            None
        );
        assert!(attrs(&[("http.checksum", "md5:1")]).is_err());
        assert!(
            attrs(&[("http.header.cookie", "a=b")])
                .unwrap()
                .headers
                .is_empty()
        );
    }

    #[test]
    fn a_secret_for_the_host_proves_who_asks_and_is_no_part_of_the_identity() {
        use crate::source::secret::Secret;
        let file = RemoteFile::of(&SourceOp::new("https://example.com:8443/x".into(), Vec::new())).unwrap();
        let mut secrets = Secrets::default();
        let none = file.question(&secrets, Known::default(), true).unwrap();
        assert!(none.headers.is_empty());
        secrets.add_value("HTTP_AUTH_TOKEN_example.com", Secret::new(b"t0ken\n".to_vec()));
        let question = file.question(&secrets, Known::default(), true).unwrap();
        assert_eq!(question.headers[AUTHORIZATION], "Bearer t0ken");
        assert!(!format!("{question:?}").contains("t0ken"));
    }
}
