//! Differences, and layers over others. Dockerfiles make no differences, so the ops are put together here.

use stagewright_core::digest::Digest;
use stagewright_core::llb::{
    DiffOp, Input as OpInput, LowerDiffInput, MergeInput, MergeOp, Op, OpKind, UpperDiffInput, decode,
    marshal,
};

use super::*;

/// What a step printed that ran `look` on files that were put together from stages.
struct Puzzle {
    ops: Vec<WireOp>,
    stages: BTreeMap<String, Digest>,
    look: Op,
    config: serde_json::Value,
}

impl Puzzle {
    /// The stages of a Dockerfile, by name; the last is called `look` and has one step, which prints.
    async fn of(worker: &Worker, dockerfile: &str) -> Self {
        // All stages are needed by the last, so that all are in the plan.
        let names: Vec<&str> = dockerfile
            .lines()
            .filter_map(|line| Some(line.strip_prefix("FROM ")?.split_once(" AS ")?.1))
            .collect();
        let copies = names
            .iter()
            .map(|name| format!("COPY --from={name} /etc /{name}\n"));
        let copies = copies.collect::<Vec<_>>().concat();
        let analysis = worker
            .plan(&format!("{dockerfile}FROM scratch\n{copies}"), |_| {})
            .await;
        let definition = analysis.definition.unwrap();
        let mut stages = BTreeMap::new();
        let mut look = None;
        for op in &definition.ops {
            for name in &names {
                if op.name.starts_with(&format!("[{name} ")) {
                    stages.insert((*name).to_owned(), op.digest.clone());
                }
            }
            if op.name.starts_with("[look ") {
                look = decode(&op.bytes).ok();
            }
        }
        let mut ops: Vec<WireOp> = definition
            .ops
            .into_iter()
            .map(|op| WireOp {
                bytes: op.bytes,
                name: op.name,
            })
            .collect();
        ops.pop();
        Self {
            ops,
            stages,
            look: look.unwrap(),
            config: analysis.image_config.unwrap().to_value(),
        }
    }

    fn add(&mut self, kind: OpKind, inputs: &[Digest], name: &str) -> Digest {
        let inputs = inputs.iter().map(|digest| OpInput {
            digest: digest.clone(),
            index: 0,
        });
        let op = Op {
            inputs: inputs.collect(),
            kind: Some(kind),
            platform: self.look.platform.clone(),
            ..Op::default()
        };
        let bytes = marshal(&op);
        let digest = Digest::of(&bytes);
        self.ops.push(WireOp {
            bytes,
            name: name.into(),
        });
        digest
    }

    fn stage(&self, name: &str) -> Digest {
        self.stages[name].clone()
    }

    fn diff(&mut self, lower: &Digest, upper: &Digest) -> Digest {
        let op = DiffOp {
            lower: Some(LowerDiffInput { input: 0 }),
            upper: Some(UpperDiffInput { input: 1 }),
        };
        self.add(OpKind::Diff(op), &[lower.clone(), upper.clone()], "diff")
    }

    fn merge(&mut self, parts: &[Digest]) -> Digest {
        let inputs = (0..).zip(parts).map(|(input, _)| MergeInput { input }).collect();
        self.add(OpKind::Merge(MergeOp { inputs }), parts, "merge")
    }

    /// Runs the step on these files.
    async fn look(mut self, worker: &Worker, files: &[Digest]) -> Outcome {
        let kind = self.look.kind.clone().unwrap();
        let head = self.add(kind, files, "look");
        let terminal = Op {
            inputs: vec![OpInput {
                digest: head,
                index: 0,
            }],
            ..Op::default()
        };
        self.ops.push(WireOp {
            bytes: marshal(&terminal),
            name: String::new(),
        });
        let digests: Vec<String> = self
            .ops
            .iter()
            .map(|op| Digest::of(&op.bytes).to_string())
            .collect();
        let request = StartBuild {
            digest: Digest::of(digests.join("\n").as_bytes()),
            ops: self.ops,
            image_config: self.config,
            contexts: BTreeMap::new(),
            title: "puzzle".into(),
            no_cache: false,
        };
        worker.outcome(worker.builds.start(request).unwrap()).await
    }
}

const STAGES: &str = "\
FROM base AS lower
RUN mkdir -p /d/sub /gone && echo 1 > /d/keep && echo 2 > /d/change && echo 3 > /gone/x && echo 4 > /d/removed && echo 5 > /d/kind
FROM lower AS upper
RUN echo new > /d/change && rm -r /gone /d/removed /d/sub /d/kind && mkdir /fresh /d/sub /d/kind && echo f > /fresh/a && \
 busybox ln /fresh/a /fresh/b && echo own > /d/sub/own && busybox chmod 700 /d/kind
FROM base AS other
RUN mkdir -p /d/sub /gone /d/removed && echo o > /d/other && echo o > /d/sub/other && echo o > /gone/x && echo o > /d/removed/x
FROM base AS look
RUN cd / && busybox find d gone fresh 2>/dev/null | busybox sort | busybox xargs echo && cat d/change && busybox stat -c '%a %h' d/kind fresh/b
";

const UPPER: &str = "d d/change d/keep d/kind d/sub d/sub/own fresh fresh/a fresh/b\nnew\n700 2\n644 2\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_over_what_it_differs_from_gives_the_other() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let mut puzzle = Puzzle::of(&worker, STAGES).await;
    let (lower, upper) = (puzzle.stage("lower"), puzzle.stage("upper"));
    let diff = puzzle.diff(&lower, &upper);
    let merged = puzzle.merge(&[lower, diff]);
    let outcome = puzzle.look(&worker, &[merged]).await;
    assert!(outcome.log().contains(UPPER), "{}", outcome.log());
    // Neither standing on the other makes no difference to it.
    let mut puzzle = Puzzle::of(&worker, STAGES).await;
    let (other, upper) = (puzzle.stage("other"), puzzle.stage("upper"));
    let diff = puzzle.diff(&other, &upper);
    let merged = puzzle.merge(&[other, diff]);
    let outcome = puzzle.look(&worker, &[merged]).await;
    assert!(outcome.log().contains(UPPER), "{}", outcome.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_takes_with_it_what_changed_and_removes_what_was_removed_and_nothing_else() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let rebased = async || {
        let mut puzzle = Puzzle::of(&worker, STAGES).await;
        let (lower, upper, other) = (
            puzzle.stage("lower"),
            puzzle.stage("upper"),
            puzzle.stage("other"),
        );
        let diff = puzzle.diff(&lower, &upper);
        let merged = puzzle.merge(&[other, diff]);
        puzzle.look(&worker, &[merged]).await
    };
    let outcome = rebased().await;
    // d/sub was removed and made again, which hides nothing of others in it; d/keep was the same on both sides.
    let expected =
        "d d/change d/kind d/other d/sub d/sub/other d/sub/own fresh fresh/a fresh/b\nnew\n700 2\n644 2\n";
    assert!(outcome.log().contains(expected), "{}", outcome.log());
    let again = rebased().await;
    assert!(
        again.reason("diff").starts_with("cached"),
        "{}",
        again.reason("diff")
    );
    assert_eq!(again.image(), outcome.image());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_alone_shows_no_marks_of_what_is_gone() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let stages = STAGES.replace(
        "RUN cd / && busybox find d gone fresh",
        "RUN --mount=type=bind,from=other,target=/m cd /m && busybox find d gone fresh",
    );
    let mut puzzle = Puzzle::of(&worker, &stages).await;
    let (lower, upper, base) = (
        puzzle.stage("lower"),
        puzzle.stage("upper"),
        puzzle.look.inputs[0].digest.clone(),
    );
    let diff = puzzle.diff(&lower, &upper);
    let outcome = puzzle.look(&worker, &[base, diff]).await;
    let expected = "d d/change d/kind d/sub d/sub/own fresh fresh/a fresh/b\nnew\n700 2\n644 2\n";
    assert!(outcome.log().contains(expected), "{}", outcome.log());
}
