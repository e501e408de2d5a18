//! Small drawings. All are 16 by 16, in the colour of the text beside them.

use yew::prelude::*;

fn icon(paths: &'static [&'static str]) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            { for paths.iter().map(|path| html! { <path d={*path} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" /> }) }
        </svg>
    }
}

/// The mark: two stages, and what the second takes from the first.
pub(crate) fn logo() -> Html {
    html! {
        <svg class="logo" viewBox="0 0 26 26" width="26" height="26" aria-hidden="true">
            <rect x="3" y="4" width="9" height="6" rx="2" fill="none" stroke="var(--stage-0)" stroke-width="2" />
            <path d="M7.5 12.5v4a3 3 0 0 0 3 3h2.5" fill="none" stroke="var(--ink)" stroke-width="2" stroke-linecap="round" />
            <rect x="15" y="16" width="9" height="7" rx="2" fill="var(--stage-1)" />
        </svg>
    }
}

/// A triangle: begin.
pub(crate) fn play() -> Html {
    html! { <svg class="icon" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true"><path d="M3 1.8v12.4L14 8z" fill="currentColor" /></svg> }
}

/// Boxes joined by a line.
pub(crate) fn graph() -> Html {
    icon(&["M2 3h5v3.5H2zM9 9.5h5V13H9zM4.5 6.5v3a1.8 1.8 0 0 0 1.8 1.8H9"])
}

/// A sheet of paper.
pub(crate) fn file() -> Html {
    icon(&["M4 2h5l3 3v9H4zM9 2v3h3"])
}

/// A list.
pub(crate) fn steps() -> Html {
    icon(&["M6 4h8M6 8h8M6 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01"])
}

/// A triangle with an exclamation mark.
pub(crate) fn problem() -> Html {
    icon(&["M8 2.2 14.5 13.5h-13zM8 6.5v3M8 11.6h.01"])
}

/// A plus.
pub(crate) fn plus() -> Html {
    icon(&["M8 3.5v9M3.5 8h9"])
}

/// A minus.
pub(crate) fn minus() -> Html {
    icon(&["M3.5 8h9"])
}

/// Four corners.
pub(crate) fn fit() -> Html {
    icon(&["M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10"])
}

/// A cross.
pub(crate) fn cross() -> Html {
    icon(&["M4 4l8 8M12 4l-8 8"])
}

/// An arrow upwards out of a tray.
pub(crate) fn upload() -> Html {
    icon(&["M8 10.5V3M5 5.8 8 2.8l3 3M3 10.5v2.7h10v-2.7"])
}

/// An arrow downwards into a tray.
pub(crate) fn download() -> Html {
    icon(&["M8 2.8v7.5M5 7.5l3 3 3-3M3 10.5v2.7h10v-2.7"])
}

/// Three dots, joined.
pub(crate) fn share() -> Html {
    icon(&[
        "M11.5 2.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6zM4.5 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6zM11.5 10.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6zM6.1 7.1l3.8-2.2M6.1 8.9l3.8 2.2",
    ])
}

/// A pen.
pub(crate) fn pen() -> Html {
    icon(&["M3 13l.6-2.8 7-7 2.2 2.2-7 7z"])
}

/// An angle that points down.
pub(crate) fn chevron() -> Html {
    icon(&["M4.5 6.5 8 10l3.5-3.5"])
}

/// A sun, or a moon.
pub(crate) fn theme(dark: bool) -> Html {
    if dark {
        icon(&[
            "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7",
        ])
    } else {
        icon(&["M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z"])
    }
}
