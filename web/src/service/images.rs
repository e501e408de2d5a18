//! Asks the worker about images, quietly, while a Dockerfile is being written.

use stagewright_core::analysis::ImageFacts;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{ResolveImage, method};

use super::link::Link;
use super::rpc::CallError;
use super::store::Store;
use crate::state::{Action, Author};

/// How long typing has to rest before the worker is asked, in milliseconds.
pub(crate) const REST: u32 = 400;

/// Asks about every image the target needs that nobody asked about yet.
pub(crate) fn ask_about_unknown(store: &Store, link: &Link) {
    let state = store.state();
    // A link from a stranger does not make this worker look at machines of the stranger's choice.
    let Some(rpc) = link.rpc().filter(|_| state.author == Author::Reader) else {
        return;
    };
    for image in state.plan.unknown_images() {
        let reference = image.reference.clone();
        if state.images.asked.contains(&reference) || state.images.refused.contains_key(&reference) {
            continue;
        }
        store.dispatch(Action::ImageAsked(reference.clone()));
        let (store, rpc, platform) = (store.clone(), rpc.clone(), image.platform.clone());
        wasm_bindgen_futures::spawn_local(async move {
            // A connection that broke is no answer: the question is put again on the next one.
            let _ = ask(&store, &rpc, reference, platform).await;
        });
    }
}

/// Asks about one image and takes the answer in.
pub(crate) async fn ask(
    store: &Store,
    rpc: &super::rpc::Rpc,
    reference: String,
    platform: Platform,
) -> Result<(), CallError> {
    let question = ResolveImage {
        reference: reference.clone(),
        platform,
    };
    match rpc.call::<ImageFacts>(method::IMAGE_RESOLVE, &question).await {
        Ok(facts) => {
            store.dispatch(Action::ImageResolved {
                reference,
                facts: Box::new(facts),
            });
            Ok(())
        }
        Err(CallError::Closed) => Err(CallError::Closed),
        Err(error) => {
            store.dispatch(Action::ImageRefused {
                reference,
                message: error.to_string(),
            });
            Err(error)
        }
    }
}
