//! What the page has to say, in a corner until it was read.

use yew::prelude::*;

use super::{Desk, icons};
use crate::state::shared::Shared;
use crate::state::{Action, Notice};

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) notices: Shared<Vec<Notice>>,
}

#[component]
pub(super) fn Notices(props: &Props) -> Html {
    let notice = |notice: &Notice| {
        html! {
            <div key={notice.id} class={classes!("notice", notice.is_error.then_some("notice-error"))}
                data-testid="notice" role={if notice.is_error { "alert" } else { "status" }}>
                <p>{ &notice.text }</p>
                <button class="bare" aria-label="Dismiss" onclick={props.desk.report(Action::NoticeDismissed(notice.id))}>{ icons::cross() }</button>
            </div>
        }
    };
    html! { <div class="notices" aria-live="polite">{ for props.notices.iter().map(notice) }</div> }
}
