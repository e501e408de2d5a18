//! Where a finished image goes: into a file, a folder, a registry, or an engine on this machine.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stagewright_core::digest::Digest;
use stagewright_core::protocol::OutputFormat;

use super::engine::Engine;
use super::obstacle::Obstacle;
use super::output::{Destination, Kind, Output, Push};
use super::watcher::{Watcher, task};
use crate::build::Builds;
use crate::export::{Naming, NewFile, oci_layout, push_of};
use crate::source::image::Pushed;
use crate::source::image::reference::Reference;

/// A finished image.
pub(crate) struct Image<'a> {
    pub(crate) builds: &'a Builds,
    /// Its manifest, or the list of several.
    pub(crate) root: &'a Digest,
    pub(crate) naming: &'a Naming,
    /// Images that blobs came from.
    pub(crate) origins: &'a BTreeMap<Digest, Reference>,
}

/// What stands in the way of an output, before anything is built for it. `names` are those that all outputs have.
pub(crate) fn check(outputs: &[Output], names: &[Reference]) -> Result<(), Obstacle> {
    for output in outputs {
        match &output.kind {
            Kind::Image(Some(_)) if names.is_empty() && output.choice.names.is_empty() => {
                return Err(Obstacle::usage("an image without a name cannot be pushed")
                    .hint("name it with -t REGISTRY/REPOSITORY:TAG"));
            }
            Kind::Load if Engine::find().is_none() => {
                return Err(Obstacle::usage(
                    "there is neither docker nor podman here to load the image into, and no socket of theirs",
                )
                .hint("write a file for it with -o type=docker,dest=FILE"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Image<'_> {
    /// Puts the image out as one of the build's outputs.
    pub(crate) async fn deliver(&self, output: &Output, watcher: &mut dyn Watcher) -> Result<(), Obstacle> {
        match &output.kind {
            Kind::Folder(..) | Kind::Tar(_) | Kind::Kept | Kind::Image(None) | Kind::Nothing => Ok(()),
            Kind::Archive(format, Destination::File(path)) => {
                let name = format!("exporting the image to {}", path.display());
                let written = async { self.file(*format, path).await.map(nothing_more) };
                task(watcher, &name, written, String::clone).await.map(drop)
            }
            Kind::Archive(format, Destination::StandardOutput) => {
                let out = Box::new(io::stdout());
                let written = async {
                    let backend = self.builds.backend();
                    let written = backend.export(self.root, self.naming, *format, out).await;
                    written
                        .map(nothing_more)
                        .map_err(|error| Obstacle::work(error.to_string()))
                };
                let name = "exporting the image to standard output";
                task(watcher, name, written, String::clone).await.map(drop)
            }
            Kind::Layout(folder) => {
                let name = format!("exporting the image to {}", folder.display());
                let written = async { self.layout(folder).await.map(nothing_more) };
                task(watcher, &name, written, String::clone).await.map(drop)
            }
            Kind::Load => self.load(watcher).await,
            Kind::Image(Some(push)) => {
                let mut before: Option<&Reference> = None;
                for name in &self.naming.names {
                    let pushed = self.push(name, *push, before);
                    task(watcher, &format!("pushing {name}"), pushed, String::clone).await?;
                    before = Some(name);
                }
                Ok(())
            }
        }
    }

    /// Writes beside its place and renames, so that a file of that name is always whole.
    async fn file(&self, format: OutputFormat, path: &Path) -> Result<(), Obstacle> {
        let cannot = |error: &dyn std::fmt::Display| {
            Obstacle::work(format!("cannot write the image to {}: {error}", path.display()))
        };
        let file = NewFile::create(path).map_err(|error| {
            Obstacle::place(cannot(&error).message)
                .hint("name a file in a folder that is there and that you may write to")
        })?;
        let writer = file.writer().map_err(|error| cannot(&error))?;
        let backend = self.builds.backend();
        let written = backend
            .export(self.root, self.naming, format, Box::new(writer))
            .await;
        written.map_err(|error| cannot(&error))?;
        file.finish().map_err(|error| cannot(&error))
    }

    async fn layout(&self, folder: &Path) -> Result<(), Obstacle> {
        let cannot = |error: &dyn std::fmt::Display| {
            Obstacle::work(format!("cannot write the image to {}: {error}", folder.display()))
        };
        let (store, root) = (self.builds.contexts().content().clone(), self.root.clone());
        let (naming, place) = (self.naming.clone(), folder.to_owned());
        let (tell, told) = tokio::sync::oneshot::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let write = move || {
            let wanted = || !stopped.load(Ordering::Relaxed);
            // Where nobody waits for it any more, there is nobody to tell.
            _ = tell.send(oci_layout(&store, &root, &naming, &place, &wanted));
        };
        let _writing = Writing {
            stop,
            thread: Some(thread::spawn(write)),
        };
        let written = told.await.map_err(|error| cannot(&error))?;
        written.map_err(|error| cannot(&error))
    }

    /// Pushes the image under one of its names. `before` is another that has it by now.
    async fn push(
        &self,
        name: &Reference,
        how: Push,
        before: Option<&Reference>,
    ) -> Result<String, Obstacle> {
        let broken = |error: &dyn std::fmt::Display| Obstacle::work(error.to_string());
        let mut push =
            push_of(self.builds.contexts().content(), self.root).map_err(|error| broken(&error))?;
        push.untagged = how.by_digest;
        push.origins.clone_from(self.origins);
        if let Some(before) = before.filter(|before| before.registry() == name.registry()) {
            let all = push.blobs.keys().map(|blob| (blob.clone(), before.clone()));
            push.origins = all.collect();
        }
        let pushed = self.builds.backend().push(name, &push).await;
        Ok(told(pushed.map_err(|error| broken(&error))?))
    }

    /// Hands the image to Docker or Podman, as `docker load` does.
    async fn load(&self, watcher: &mut dyn Watcher) -> Result<(), Obstacle> {
        let engine = Engine::find().unwrap_or(Engine::Program("docker"));
        let backend = self.builds.backend();
        let loaded = async {
            let export = |out| backend.export(self.root, self.naming, OutputFormat::Docker, out);
            let (taken, written) = engine.load(export).await;
            // What the engine says explains more than that it stopped reading.
            taken?;
            written.map_err(|error| engine.refuses(&error))?;
            Ok(String::new())
        };
        let name = format!("sending the image to {engine}");
        task(watcher, &name, loaded, String::clone).await.map(drop)
    }
}

/// A thread that writes into a folder. Given up, it is waited for: it takes back what is half written, and would not get to
/// that if the process ended first.
struct Writing {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// There is nothing to say of what went as it should.
fn nothing_more((): ()) -> String {
    String::new()
}

/// What a push came to, such as "2 blobs sent, 993 bytes; 2 taken over; 1 there already".
fn told(pushed: Pushed) -> String {
    let Pushed {
        present,
        mounted,
        uploaded,
        bytes,
    } = pushed;
    let mut parts = Vec::new();
    if uploaded > 0 {
        let noun = if uploaded == 1 { "blob" } else { "blobs" };
        parts.push(format!("{uploaded} {noun} sent, {bytes} bytes"));
    }
    if mounted > 0 {
        parts.push(format!("{mounted} taken over from another repository"));
    }
    if present > 0 {
        parts.push(format!("{present} there already"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_says_what_it_sent_and_what_it_did_not_need_to() {
        let pushed = Pushed {
            present: 1,
            mounted: 2,
            uploaded: 1,
            bytes: 993,
        };
        assert_eq!(
            told(pushed),
            "1 blob sent, 993 bytes; 2 taken over from another repository; 1 there already"
        );
        assert_eq!(told(Pushed::default()), "");
    }
}
