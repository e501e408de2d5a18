//! What a change was forecast to rerun, against what really ran.
//!
//! Files, contexts and changes are made up from a number, so that a case can be run again. Each case has a worker of
//! its own: the forecast speaks of a cache that holds just what the build before the change left.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use stagewright_core::analysis::{ImageFacts, Input};
use stagewright_core::insight::{Change, Outcome, what_if};
use stagewright_core::llb::{self, OpKind};

use super::*;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

const FILES: [&str; 5] = ["a.txt", "b.txt", "src/x.go", "src/y.md", "other"];

/// An instruction that no other place has, so that no two steps of one build are the same work.
fn instruction(dice: &mut Dice, stage: usize, place: usize) -> String {
    let here = format!("{stage}/{place}");
    match dice.roll(13) {
        0 => format!("RUN cat /d* /out > /seen 2>&1; echo {here} >> /seen; true"),
        1 => format!("RUN echo {here} > /dev/null"),
        2 => format!("RUN echo constant > /out # {here}"),
        3 => format!("RUN --mount=source=src,target=/m cat /m/x.go > /out # {here}"),
        4 => format!("COPY a.txt b.txt /d/{here}/"),
        5 => format!("COPY src /d/{here}/"),
        6 => format!("COPY *.txt /d/{here}/"),
        7 => format!("COPY --exclude=*.md . /d/{here}/"),
        8 => format!("COPY --link src/x.go /d/{here}/"),
        9 => format!("COPY <<EOF /d/{here}/inline\n{}\nEOF", dice.roll(3)),
        10 if stage > 0 => format!("COPY --from=s{} /out /d/{here}/", dice.roll(stage)),
        11 if stage > 0 => format!(
            "RUN --mount=from=s{},target=/m cat /m/out > /out # {here}",
            dice.roll(stage)
        ),
        12 => format!("WORKDIR /w/{here}"),
        _ => format!("ARG V=1\nRUN echo $V {here} > /out"),
    }
}

/// Stages of instructions, the first of which makes the file that others copy.
fn stages(dice: &mut Dice) -> Vec<Vec<String>> {
    let stage = |stage: usize, dice: &mut Dice| {
        let mut lines = vec![format!("RUN echo start {stage} > /out")];
        for place in 0..=dice.roll(4) {
            lines.push(instruction(dice, stage, place));
        }
        lines
    };
    (0..3).map(|index| stage(index, dice)).collect()
}

fn dockerfile(stages: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, lines) in stages.iter().enumerate() {
        let _ = writeln!(text, "FROM base AS s{index}");
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
    }
    // What ships needs all of them.
    text + "FROM base\nCOPY --from=s0 /out /0\nCOPY --from=s1 /out /1\nCOPY --from=s2 /out /2\n"
}

/// A change of files, of a build argument or of the text; often several at once.
fn change(dice: &mut Dice, mut stages: Vec<Vec<String>>) -> Change {
    let mut change = Change::default();
    for path in FILES {
        if dice.roll(4) == 0 {
            change.context.push(path.to_owned());
        }
    }
    if dice.roll(3) == 0 {
        change
            .build_args
            .insert("V".into(), Some(dice.roll(3).to_string()));
    }
    if dice.roll(2) == 0 {
        let stage = dice.roll(stages.len());
        let place = 1 + dice.roll(stages[stage].len() - 1);
        let line = instruction(dice, stage, 9);
        match dice.roll(3) {
            0 => stages[stage].insert(place, line),
            1 => drop(stages[stage].remove(place)),
            _ => stages[stage][place] = line,
        }
        change.source = Some(dockerfile(&stages));
    }
    change
}

impl Worker {
    /// Builds an input; gives by op whether it came from the cache, for those that ended.
    async fn ended(&self, input: &Input, files: &[(&str, &str)]) -> BTreeMap<String, bool> {
        let analysis = stagewright_core::analyze(input);
        assert!(
            !analysis.has_errors(),
            "{:?}\n{}",
            analysis.diagnostics,
            input.source
        );
        let id = self.start_plan(analysis, files, false);
        let outcome = self.outcome(id).await;
        outcome.image();
        let mut ended = BTreeMap::new();
        for event in &outcome.events {
            if let Event::Status(status) = &event.event {
                for vertex in status.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
                    ended.insert(vertex.digest.to_string(), vertex.cached);
                }
            }
        }
        ended
    }
}

async fn case(number: u64) -> (usize, usize) {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let ground = Ground::new();
    let worker = ground.worker();
    let stages = stages(&mut dice);
    let request = ResolveImage {
        reference: BASE.into(),
        platform: Platform::default(),
    };
    let facts: ImageFacts = worker.builds.backend().resolve_image(request).await.unwrap();
    let mut before = Input {
        source: dockerfile(&stages),
        ..Input::default()
    };
    before.options.images.insert(BASE.into(), facts);
    let change = change(&mut dice, stages);
    let after = change.apply(&before);
    let forecast = what_if(&before, &change);

    let old: Vec<(&str, &str)> = FILES.iter().map(|path| (*path, *path)).collect();
    let new = FILES.iter().map(|path| {
        let changed = change.context.iter().any(|changed| changed == path);
        (*path, if changed { "changed" } else { *path })
    });
    let new: Vec<(&str, &str)> = new.collect();
    worker.ended(&before, &old).await;
    let ended = worker.ended(&after, &new).await;

    let definition = stagewright_core::analyze(&after).definition.unwrap();
    let (mut certain, mut possible) = (0, 0);
    for op in &forecast.ops {
        let planned = &definition.ops[op.op];
        let kind = llb::decode(&planned.bytes).unwrap().kind;
        if !matches!(kind, Some(OpKind::Exec(_) | OpKind::File(_))) {
            continue;
        }
        let cached = ended[planned.digest.as_str()];
        let right = match op.outcome {
            Outcome::Cached => cached,
            Outcome::Reruns | Outcome::New => !cached,
            Outcome::MayRerun => {
                possible += 1;
                continue;
            }
            _ => false,
        };
        certain += 1;
        assert!(
            right,
            "case {number}: {} was forecast as {:?} and {}\n{:?}\n{change:?}\n{}",
            planned.name,
            op.outcome,
            if cached { "came from the cache" } else { "ran" },
            op.causes,
            before.source
        );
    }
    (certain, possible)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forecast_to_rerun_reruns_and_nothing_else() {
    if !possible() {
        return;
    }
    let cases: u64 = std::env::var("FORECAST_CASES").map_or(12, |cases| cases.parse().unwrap());
    let (mut certain, mut possible) = (0, 0);
    for number in 0..cases {
        let found = case(number).await;
        certain += found.0;
        possible += found.1;
    }
    println!(
        "{cases} cases: {certain} steps forecast for certain, all right; {possible} that might have rerun"
    );
    assert!(certain > possible);
}
