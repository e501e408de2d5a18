//! The pictures of the examples, whole: what changes in them is to be looked at.

use super::sketch::sketch;
use crate::layout::svg::{SvgOptions, Theme, render_svg};
use crate::layout::{Direction, LayoutOptions, dot, layout, mermaid};

const HREF_COUNTER: &str = "
FROM golang:1.7.3 AS builder
WORKDIR /go/src/github.com/alexellis/href-counter/
RUN go get -d -v golang.org/x/net/html
COPY app.go .
RUN CGO_ENABLED=0 GOOS=linux go build -a -installsuffix cgo -o app .

FROM alpine:latest
RUN apk --no-cache add ca-certificates
WORKDIR /root/
COPY --from=builder /go/src/github.com/alexellis/href-counter/app .
CMD [\"./app\"]
";

const BUILDER_PATTERN: &str = "
FROM alpine:latest
RUN apk --no-cache add ca-certificates
WORKDIR /root/
COPY app .
CMD [\"./app\"]
";

const DIAMOND: &str = "
FROM alpine:latest AS base
WORKDIR /work
RUN echo base > base.txt
FROM base AS left
COPY left.txt .
RUN cat base.txt left.txt > out.txt
FROM base AS right
COPY right.txt .
RUN cat base.txt right.txt > out.txt
FROM base
COPY --from=left /work/out.txt left.txt
COPY --from=right /work/out.txt right.txt
RUN cat left.txt right.txt > all.txt
CMD [\"cat\", \"/work/all.txt\"]
";

const EXTERNAL_IMAGE: &str = "
FROM alpine:latest
COPY --from=nginx:latest /etc/nginx/nginx.conf /nginx.conf
";

/// What is left out of a build, mounts, and nothing to start from.
const UNNEEDED: &str = "
FROM node:22 AS web
COPY web .
RUN npm ci && npm run build
FROM web AS test
RUN npm test
FROM golang:1.24 AS api
RUN --mount=type=bind,from=web,source=/app/dist,target=/dist go build -o /out/api ./cmd/api
FROM scratch AS final
COPY --from=api /out/api /api
COPY --from=web /app/dist /public
ENTRYPOINT [\"/api\"]
";

fn picture(source: &str, direction: Direction, theme: Theme) -> String {
    let analysis = sketch(source);
    let drawing = layout(
        &analysis,
        &LayoutOptions {
            direction,
            ..LayoutOptions::default()
        },
    );
    render_svg(&analysis, &drawing, &SvgOptions { theme, title: None })
}

#[test]
fn href_counter() {
    insta::assert_snapshot!(
        "href_counter",
        picture(HREF_COUNTER, Direction::LeftToRight, Theme::Light)
    );
    insta::assert_snapshot!(
        "href_counter_phone",
        picture(HREF_COUNTER, Direction::TopToBottom, Theme::Dark)
    );
}

#[test]
fn one_stage_that_takes_what_a_script_built() {
    insta::assert_snapshot!(
        "builder_pattern",
        picture(BUILDER_PATTERN, Direction::LeftToRight, Theme::Light)
    );
}

#[test]
fn diamond() {
    insta::assert_snapshot!("diamond", picture(DIAMOND, Direction::LeftToRight, Theme::Auto));
    insta::assert_snapshot!(
        "diamond_phone",
        picture(DIAMOND, Direction::TopToBottom, Theme::Auto)
    );
}

#[test]
fn a_copy_from_an_image() {
    insta::assert_snapshot!(
        "external_image",
        picture(EXTERNAL_IMAGE, Direction::LeftToRight, Theme::Light)
    );
}

#[test]
fn what_the_target_does_without_is_dimmed() {
    insta::assert_snapshot!(
        "unneeded",
        picture(UNNEEDED, Direction::LeftToRight, Theme::Light)
    );
}

#[test]
fn no_stages() {
    insta::assert_snapshot!("no_stages", picture("", Direction::LeftToRight, Theme::Light));
}

#[test]
fn other_languages() {
    insta::assert_snapshot!("dot", dot::render_dot(&sketch(UNNEEDED)));
    insta::assert_snapshot!("mermaid", mermaid::render_mermaid(&sketch(UNNEEDED)));
}

#[test]
fn text_cannot_break_out_of_the_picture() {
    let source = "FROM a AS b\nRUN echo '</text><script>alert(1)</script>' & \"\u{1}\u{0}\"\nFROM scratch\nCOPY --from=b /<&> /\n";
    let svg = picture(source, Direction::LeftToRight, Theme::Auto);
    assert!(!svg.contains("<script"), "{svg}");
    assert!(!svg.contains('\u{1}') && !svg.contains('\u{0}'), "{svg}");
    assert!(svg.contains("&lt;/text&gt;"), "{svg}");
    let mermaid = mermaid::render_mermaid(&sketch("FROM x\"];click AS evil\nFROM \"quoted\"\n"));
    assert!(!mermaid.contains("x\"]"), "{mermaid}");
}

#[test]
fn without_a_target_nothing_is_dimmed() {
    let mut analysis = sketch(UNNEEDED);
    analysis.target = None;
    let drawing = layout(&analysis, &LayoutOptions::default());
    assert!(drawing.cards.iter().all(|card| !card.dimmed));
    assert!(drawing.edges.iter().all(|edge| !edge.dimmed));
}

#[test]
fn copies_run_from_the_last_step_that_changes_files_to_the_step_that_copies() {
    let drawing = layout(&sketch(HREF_COUNTER), &LayoutOptions::default());
    let copy = drawing
        .edges
        .iter()
        .find(|edge| edge.from_stage.is_some())
        .unwrap();
    let (from, to) = (&drawing.cards[0], &drawing.cards[1]);
    let middle = |row: &crate::layout::Row| row.y + row.height / 2.0;
    assert_eq!(
        (copy.start.x, copy.start.y),
        (from.x + from.width, middle(&from.rows[3]))
    );
    assert_eq!((copy.end.x, copy.end.y), (to.x, middle(&to.rows[2])));
    assert_eq!(
        (copy.from_stage, copy.from_step, copy.colour),
        (Some(0), Some(3), Some(0))
    );
    assert_eq!(copy.label.as_ref().unwrap().text, "app");
}

#[test]
fn nonsensical_options_are_mended() {
    let analysis = sketch(DIAMOND);
    for card_width in [f64::NAN, f64::INFINITY, -5.0, 1e12] {
        for detail_width in [f64::NAN, f64::NEG_INFINITY, 1e12] {
            let options = LayoutOptions {
                card_width,
                detail_width,
                ..LayoutOptions::default()
            };
            let drawing = layout(&analysis, &options);
            assert!(drawing.width.is_finite() && drawing.height.is_finite());
            assert_eq!(super::shapes::fault(&drawing), None);
        }
    }
}
