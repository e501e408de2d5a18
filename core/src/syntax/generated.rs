//! Dockerfiles made by chance, for tests of what has to hold of all of them.

use proptest::prelude::*;

/// Instructions in all their forms. `·` is white space of some kind, `⏎` ends a line.
const INSTRUCTIONS: &[&str] = &[
    "FROM·alpine",
    "FROM·alpine:3·AS·base",
    "FROM·--platform=$BUILDPLATFORM·base·AS·build",
    "FROM·${IMAGE:-scratch}·as·Final",
    "FROM·base",
    "ARG·VERSION=1·OTHER·THIRD=\"a  b\"",
    "ARG·TARGETARCH",
    "ENV·A=1·B=\"two  words\"·C=${A:+x}·D=e\\ f",
    "ENV·OLD·the  old·form",
    "LABEL·a=b·\"c d\"='e  f'",
    "LABEL·a·b  c",
    "MAINTAINER·someone  <a@b>",
    "RUN·make·all·&&·echo·'a  b'",
    "RUN·--mount=type=cache,target=/x,id=$A·--mount=from=base,source=/y,target=/z·make",
    "RUN·--network=none·--security=insecure·--device=a.b/c=d,required·true",
    "RUN·[·\"a\",·\"b c\"·]",
    "RUN·<<EOF⏎#!/bin/sh⏎  echo \"$A\"  ⏎⏎EOF",
    "RUN·<<-'A'·cat·3<<B⏎\ta⏎\tA⏎ b  ⏎B",
    "RUN·cat·<<\"E F\"·>·/x⏎# none⏎E F",
    "RUN·echo·\"it's\"·#·no·comment",
    "COPY·a·b·/c/",
    "COPY·--from=base·--chown=a:b·--chmod=0755·/a·/b",
    "COPY·--from=0·--link·--parents·--exclude=*.md·--exclude=\"a b\"·/a·/b",
    "COPY·[\"a b\",·\"/c\"]",
    "COPY·<<one·<<-two·/dir/⏎ $A ⏎one⏎\tx⏎\ttwo",
    "ADD·--checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d·https://e.x/y·/z",
    "ADD·--keep-git-dir=true·--unpack=false·https://e.x/y.git#main·/z",
    "CMD·[\"a\",\"b\"]",
    "CMD·a·b",
    "ENTRYPOINT·[\"a\"]",
    "ENTRYPOINT·exec·a",
    "EXPOSE·80·443/tcp·8000-8002/udp",
    "HEALTHCHECK·NONE",
    "HEALTHCHECK·--interval=30s·--retries=3·CMD·curl·-f·http://x/",
    "HEALTHCHECK·cmd·[\"a\"]",
    "ONBUILD·RUN·a·b",
    "ONBUILD·copy·<<EOF·/x⏎ y ⏎EOF",
    "SHELL·[\"/bin/bash\",·\"-c\"]",
    "STOPSIGNAL·SIGTERM",
    "USER·a:b",
    "VOLUME·/a·/b",
    "VOLUME·[\"/a b\"]",
    "WORKDIR·/a b",
    "WORKDIR·rel",
];

/// What may stand between instructions.
const BETWEEN: &[&str] = &[
    "",
    "⏎",
    "⏎⏎⏎",
    "# a comment⏎",
    "  #·b  ⏎#⏎",
    "# escape=`⏎",
    "\t⏎  ⏎",
    "# check=skip=all⏎⏎",
];

/// White space between words; `⎋` is the escape character.
const GAPS: &[&str] = &[
    " ",
    " ",
    " ",
    "  ",
    "\t",
    " ⎋⏎    ",
    " ⎋ \t⏎# within⏎  ",
    " ⎋⏎⏎ ",
    "⎋⏎ ",
    " ⎋⏎  # a⏎\t# b⏎\t",
    "\t⎋⏎⎋⏎ ",
];

const DIRECTIVES: &[&str] = &[
    "",
    "",
    "# syntax=docker/dockerfile:1⏎",
    "#escape = `⏎",
    "# escape=\\⏎# check=skip=all⏎",
    "# escape=`⏎#syntax=x⏎⏎",
];

/// Files that say what they say in all the ways there are.
pub(crate) fn files() -> impl Strategy<Value = String> {
    let instruction = (
        prop::sample::select(BETWEEN),
        prop::sample::select(INSTRUCTIONS),
        prop::collection::vec(prop::sample::select(GAPS), 1..5),
        prop::sample::select(&["", "", "  ", "\t"][..]),
        0..4_u8,
        prop::sample::select(&["", "", " ", " \t"][..]),
    );
    let instruction = instruction.prop_map(|(between, template, gaps, indent, case, trailing)| {
        let head = template.find('⏎').unwrap_or(template.len());
        let (head, body) = template.split_at(head);
        let (name, rest) = head.split_once('·').unwrap_or((head, ""));
        let name = match case {
            0 => name.to_lowercase(),
            1 => name
                .chars()
                .rev()
                .map(|letter| letter.to_ascii_lowercase())
                .rev()
                .collect(),
            _ => name.to_owned(),
        };
        let mut text = format!("{between}{indent}{name}");
        for (index, word) in rest.split('·').enumerate() {
            text.push_str(gaps[index % gaps.len()]);
            text.push_str(word);
        }
        text + trailing + body
    });
    let start = (
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(DIRECTIVES),
        any::<bool>(),
        prop::sample::select(&["", "⏎", "⏎⏎", " ⎋", "⏎# end", " ⎋⏎ # end⏎"][..]),
    );
    (start, prop::collection::vec(instruction, 0..12)).prop_map(
        |((mark, windows, directives, stage, end), instructions)| {
            let first = if stage {
                "ARG IMAGE⏎FROM scratch AS a⏎"
            } else {
                ""
            };
            let text = format!("{directives}{first}{}{end}", instructions.join("⏎"));
            let escape = if directives.contains('`') { "`" } else { "\\" };
            let newline = if windows { "\r\n" } else { "\n" };
            let text = text.replace('⎋', escape).replace('⏎', newline).replace('·', " ");
            if mark { format!("\u{feff}{text}") } else { text }
        },
    )
}

/// Such files with a few pieces cut out, doubled or put in.
pub(crate) fn mutated_files() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "\\\n",
        "\\",
        "`",
        "\n",
        "\r\n",
        " ",
        "\t",
        "#",
        "'",
        "\"",
        "<<E",
        "\nE\n",
        "[",
        "]",
        "=",
        ",",
        "$",
        "${",
        "}",
        "--",
        "--from=",
        "--mount=",
        "é",
        "\u{feff}",
        "\u{a0}",
        "\0",
        "# escape=`\n",
        "FROM ",
        "\nONBUILD ",
        "日",
        "|",
    ];
    let edit = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        prop::sample::select(PIECES),
        0..4_u8,
    );
    (files(), prop::collection::vec(edit, 1..8)).prop_map(|(text, edits)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (from, to, piece, kind) in edits {
            let (from, to) = (from.index(letters.len() + 1), to.index(letters.len() + 1));
            let (from, to) = (from.min(to), from.max(to));
            match kind {
                0 => drop(letters.splice(from..from, piece.chars())),
                1 => drop(letters.drain(from..to.min(from + 20))),
                2 => {
                    let part: Vec<char> = letters[from..to.min(from + 200)].to_vec();
                    drop(letters.splice(to..to, part));
                }
                _ => letters.truncate(to),
            }
        }
        letters.into_iter().collect()
    })
}
