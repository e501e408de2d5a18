//! What a requested build stands on: its context, brought here, and its Dockerfile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_core::Input;
use stagewright_core::analysis::{Definition, NamedContext};
use stagewright_core::digest::Digest;
use stagewright_core::ignore::{IgnoreFile, ignore_file};
use stagewright_core::protocol::ContextEntryKind;

use super::obstacle::Obstacle;
use super::planning::Dockerfile;
use super::remote::{Address, Asker, Checkout, download, inside, lacking};
use super::sources::{OWN, Sources};
use super::understood::{Place, Understood, Written};
use super::watcher::Watcher;
use crate::build::Builds;
use crate::content::ContentStore;
use crate::source::local::Manifest;

/// Larger files are refused: no Dockerfile is.
const MOST: u64 = 4 << 20;

/// A context that is here.
pub(crate) struct Ground {
    files: Files,
    /// The Dockerfile, where it is all that there was.
    alone: Option<(String, String)>,
    /// The repository that the context is of, as it may be told, and its commit.
    pub(crate) repository: Option<(String, String)>,
}

enum Files {
    None,
    Listed(Listed),
    Folder(Checkout),
}

/// Files that are known by their content.
struct Listed {
    manifest: Arc<Manifest>,
    content: ContentStore,
}

impl Ground {
    /// Brings the context here.
    pub(crate) async fn of(
        place: &Place,
        asker: &Asker,
        builds: &Builds,
        beneath: &Path,
    ) -> Result<Self, Obstacle> {
        let content = builds.contexts().content();
        let (name, archive) = match place {
            Place::Nowhere => return Ok(Self::files(Files::None)),
            Place::Content(id) => {
                let manifest = builds.contexts().get(id);
                let manifest = manifest.ok_or_else(|| {
                    lacking(&format!("this worker knows no context {id} any more")).hint("offer it again")
                })?;
                return Ok(Self::files(Files::Listed(Listed {
                    manifest,
                    content: content.clone(),
                })));
            }
            Place::Far(Address::Git(repository)) => {
                let checkout = Checkout::of(repository, asker, beneath).await?;
                let repository = checkout.repository.clone();
                return Ok(Self {
                    repository,
                    ..Self::files(Files::Folder(checkout))
                });
            }
            Place::Far(address @ Address::Web(url)) => (address.shown(), download(url, asker).await?),
            Place::Upload(blob) => {
                let archive = content.open_blob(blob).map_err(|error| lacking(&error))?;
                ("the upload".to_owned(), archive)
            }
        };
        let checkout = Checkout::new(beneath)?;
        let unpacking = tokio::task::spawn_blocking(move || unpacked(checkout, name, archive));
        unpacking.await.map_err(|error| lacking(&error))?
    }

    fn files(files: Files) -> Self {
        Self {
            files,
            alone: None,
            repository: None,
        }
    }

    /// The Dockerfile, as the planner takes it.
    pub(crate) fn dockerfile(
        &self,
        understood: &Understood,
        builds: &Builds,
    ) -> Result<Dockerfile, Obstacle> {
        let mut options = understood.options.clone();
        for context in options.contexts.values_mut() {
            if let NamedContext::Local(local) = context
                && let Some(id) = understood.contexts.get(&local.name)
                && let Some(manifest) = builds.contexts().get(id)
            {
                let listed = Listed {
                    manifest,
                    content: builds.contexts().content().clone(),
                };
                if listed.names("").any(|name| name == ".dockerignore") {
                    local.ignore = Some(listed.read(".dockerignore")?);
                }
            }
        }
        let (name, path, source) = match (&understood.dockerfile, &self.alone) {
            (Written::Inline(text), _) => ("Dockerfile".to_owned(), None, text.clone()),
            (Written::In(_), Some((name, text))) => (name.clone(), None, text.clone()),
            (Written::In(path), None) => {
                let path = self.place(path);
                let text = self.read(&path)?;
                (path.clone(), Some(path), text)
            }
        };
        let ignore_name = if let Some(text) = &understood.ignore {
            options.ignore = Some(text.clone());
            Some("dockerignore".to_owned())
        } else {
            let found = self.ignore_file(path.as_deref());
            if let Some(name) = &found {
                options.ignore = Some(self.read(name)?);
            }
            found
        };
        Ok(Dockerfile {
            name,
            input: Input { source, options },
            ignore_name,
        })
    }

    /// Where a Dockerfile is in the context that is asked for as `path`: in lower case where that alone is there.
    pub(crate) fn place(&self, path: &str) -> String {
        let (above, name) = match path.rfind('/') {
            Some(slash) => path.split_at(slash + 1),
            None => ("", path),
        };
        if name != "Dockerfile" {
            return path.to_owned();
        }
        let names = self.names(above.trim_end_matches('/'));
        let usual = Dockerfile::usual(|usual| names.iter().any(|name| name == usual));
        format!("{above}{usual}")
    }

    /// The contexts that are here by their content already, by what the definition calls them.
    pub(crate) fn contexts(&self, understood: &Understood) -> BTreeMap<String, Digest> {
        let mut contexts = understood.contexts.clone();
        if let Files::Listed(listed) = &self.files {
            contexts.insert(OWN.to_owned(), listed.manifest.id.clone());
        }
        contexts
    }

    /// Offers what a definition reads of the context. Reads files, so it blocks.
    pub(crate) fn offer(
        &self,
        builds: &Builds,
        dockerfile: &Dockerfile,
        definition: &Definition,
        contexts: &mut BTreeMap<String, Digest>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), Obstacle> {
        let sources = Sources {
            own: match &self.files {
                Files::Folder(checkout) => Ok(checkout.folder.as_path()),
                Files::None | Files::Listed(_) => Err(Obstacle::usage(
                    "the build copies from its context, and there is none",
                )
                .hint("name a context, or leave the copying out")),
            },
            ignore: (
                dockerfile.input.options.ignore.as_deref().unwrap_or_default(),
                dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore"),
            ),
            named: &BTreeMap::new(),
            fetched: true,
            scans: Path::new(""),
        };
        sources
            .offer(builds, definition, contexts, watcher)
            .map_err(|mut obstacle| {
                // Where on this machine it was brought is nobody's matter.
                if let Files::Folder(checkout) = &self.files {
                    let place = format!("{}/", checkout.folder.display());
                    obstacle.message = obstacle.message.replace(&place, "");
                }
                obstacle
            })
    }

    /// The ignore file that counts, where there is one.
    fn ignore_file(&self, dockerfile: Option<&str>) -> Option<String> {
        let (folder, name) = dockerfile
            .and_then(|path| path.rsplit_once('/'))
            .unwrap_or(("", dockerfile.unwrap_or_default()));
        let (beside, root) = (self.names(folder), self.names(""));
        let (beside, root) = (beside.iter(), root.iter());
        let found = ignore_file(name, beside.map(String::as_str), root.map(String::as_str))?;
        Some(match found {
            IgnoreFile::Own(name) if folder.is_empty() => name,
            IgnoreFile::Own(name) => format!("{folder}/{name}"),
            IgnoreFile::Shared => ".dockerignore".to_owned(),
        })
    }

    /// What is in a folder of the context.
    fn names(&self, folder: &str) -> Vec<String> {
        match &self.files {
            Files::None => Vec::new(),
            Files::Listed(listed) => listed.names(folder).map(str::to_owned).collect(),
            Files::Folder(checkout) => {
                let Ok(folder) = inside(&checkout.folder, &PathBuf::from(format!("./{folder}"))) else {
                    return Vec::new();
                };
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                entries
                    .filter_map(|entry| entry.file_name().into_string().ok())
                    .collect()
            }
        }
    }

    /// The text of a file of the context.
    fn read(&self, path: &str) -> Result<String, Obstacle> {
        match &self.files {
            Files::None => Err(Obstacle::usage(format!(
                "there is no context that {path} could be in"
            ))),
            Files::Listed(listed) => listed.read(path),
            Files::Folder(checkout) => {
                let found = inside(&checkout.folder, Path::new(path))?;
                let file = File::open(found);
                let file = file.map_err(|error| lacking(&format!("{path} cannot be read: {error}")))?;
                text(file, path)
            }
        }
    }
}

fn unpacked(checkout: Checkout, name: String, mut archive: File) -> Result<Ground, Obstacle> {
    if checkout.unpack(&name, &archive)? {
        return Ok(Ground::files(Files::Folder(checkout)));
    }
    // What is no archive is the Dockerfile itself, and there is no context.
    archive.rewind().map_err(|error| lacking(&error))?;
    let text = text(archive, &name)?;
    Ok(Ground {
        alone: Some((name, text)),
        ..Ground::files(Files::None)
    })
}

impl Listed {
    /// What is in a folder.
    fn names(&self, folder: &str) -> impl Iterator<Item = &str> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let within = self.manifest.entries.range(prefix.clone()..);
        let names = within.map_while(move |(path, _)| path.strip_prefix(&prefix));
        names.filter(|name| !name.is_empty() && !name.contains('/'))
    }

    fn read(&self, path: &str) -> Result<String, Obstacle> {
        let plain = path.trim_start_matches("./");
        match self.manifest.entries.get(plain).map(|entry| &entry.kind) {
            Some(ContextEntryKind::File { digest, .. }) => {
                let file = self.content.open_blob(digest);
                text(file.map_err(|error| lacking(&error))?, path)
            }
            Some(_) => Err(Obstacle::usage(format!("{path} of the build context is no file"))
                .hint("name the Dockerfile itself as file")),
            None => Err(Obstacle::usage(format!("the build context has no {path}"))
                .hint("name the Dockerfile in it as file, or give its text as dockerfile")),
        }
    }
}

fn text(file: File, name: &str) -> Result<String, Obstacle> {
    let mut bytes = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|error| lacking(&format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > MOST {
        return Err(Obstacle::usage(format!(
            "{name} is larger than {} MiB, so it is hardly a Dockerfile",
            MOST >> 20
        )));
    }
    String::from_utf8(bytes).map_err(|_| Obstacle::usage(format!("{name} is no UTF-8 text")))
}
