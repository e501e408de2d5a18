//! Dockerfiles of a wanted length, for measuring how the cost of planning grows.
//!
//! They read like what people write: a few tools installed, dependencies before sources, several stages that copy from
//! each other, variables in half of the steps. The same length gives the same text everywhere.

use std::fmt::Write as _;

/// The lengths that are measured, with the name each goes by.
pub const LENGTHS: [(&str, Length); 4] = [
    ("322 B", Length::Bytes(322)),
    ("3.4 KB", Length::Bytes(3400)),
    ("20 KB", Length::Bytes(20_000)),
    ("10,000 lines", Length::Lines(10_000)),
];

/// How long a Dockerfile is to be.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// At most so many bytes.
    Bytes(usize),
    /// So many lines.
    Lines(usize),
}

/// A Dockerfile of that length: as many whole instructions as fit, the last stage copying from those before it.
#[must_use]
pub fn dockerfile(length: Length) -> String {
    let mut text = String::from("ARG GO=1.22\nFROM golang:${GO} AS base\nARG MODE=release\n");
    let fits = |text: &str, more: &str| match length {
        Length::Bytes(limit) => text.len() + more.len() <= limit,
        Length::Lines(limit) => lines(text) + lines(more) <= limit,
    };
    let mut step = 0;
    let mut stage = 0;
    loop {
        let piece = piece(step, &mut stage);
        if !fits(&text, &piece) {
            return text;
        }
        text += &piece;
        step += 1;
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// The instructions of one step after the other; every twelfth begins a stage.
fn piece(step: usize, stage: &mut usize) -> String {
    let mut text = String::new();
    let _ = match step % 12 {
        0 => writeln!(text, "WORKDIR /src/part{step}"),
        1 => writeln!(text, "COPY go.mod go.sum part{step}/ ./"),
        2 => writeln!(
            text,
            "RUN --mount=type=cache,target=/root/.cache/go-build \\\n    go mod download && \\\n    go mod verify"
        ),
        3 => writeln!(text, "ENV CGO_ENABLED=0 PART{step}=\"${{MODE}}-{step}\""),
        4 => writeln!(text, "# The program of part {step}.\nCOPY . ."),
        5 => writeln!(
            text,
            "RUN go build -ldflags \"-s -w -X main.mode=${{MODE:-debug}}\" -o /out/part{step} ./cmd/part{step}"
        ),
        6 => writeln!(text, "LABEL part{step}.mode=${{MODE}} part{step}.step={step}"),
        7 => writeln!(text, "RUN <<EOF\nset -e\ntest -x /out/part{}\nEOF", step - 2),
        8 => writeln!(text, "EXPOSE {}", 1024 + step % 60_000),
        9 => writeln!(text, "RUN [\"/out/part{}\", \"--version\"]", step - 4),
        10 => writeln!(text, "ENTRYPOINT [\"/out/part{}\"]", step - 5),
        _ => {
            let before = if *stage == 0 {
                "base".to_owned()
            } else {
                format!("part{stage}")
            };
            *stage += 1;
            writeln!(
                text,
                "\nFROM alpine:3.20 AS part{stage}\nARG MODE\nRUN apk add --no-cache ca-certificates\nCOPY --from={before} /out/ /out/"
            )
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use stagewright_core::{Input, analyze};

    use super::*;

    #[test]
    fn every_length_is_kept_and_plans_without_findings() {
        for (name, length) in LENGTHS {
            let source = dockerfile(length);
            match length {
                Length::Bytes(limit) => {
                    assert!(source.len() <= limit && source.len() * 10 > limit * 8, "{name}");
                }
                Length::Lines(limit) => {
                    assert!(lines(&source) <= limit && lines(&source) + 6 > limit, "{name}");
                }
            }
            let analysis = analyze(&Input {
                source,
                ..Input::default()
            });
            assert_eq!(analysis.diagnostics, [], "{name}");
            assert!(analysis.definition.is_some(), "{name}");
        }
    }
}
