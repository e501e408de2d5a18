//! `history`: what is told of builds that were recorded, whoever recorded them.

use crate::{Folder, fits, run};

const SUMMARY: &str = r#"{"summary":{"id":"7","title":"app","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","state":"running","created":"2026-01-01T00:00:00Z","lastSeq":0}}"#;
const EVENTS: &str = concat!(
    r#"{"id":"7","seq":1,"event":{"status":{"vertexes":[{"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","name":"[1/1] RUN make","started":"2026-01-01T00:00:00Z"}]}}}"#,
    "\n",
    r#"{"id":"7","seq":2,"event":{"status":{"logs":[{"vertex":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","stream":1,"data":"bWFkZQo=","timestamp":"2026-01-01T00:00:01Z"}]}}}"#,
    "\n",
    r#"{"id":"7","seq":3,"event":{"status":{"vertexes":[{"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","name":"[1/1] RUN make","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:02Z"}]}}}"#,
    "\n",
    r#"{"id":"7","seq":4,"eve"#,
);

#[test]
fn a_build_that_its_worker_died_under_is_told_as_far_as_it_came() {
    let folder = Folder::with(&[
        ("state/builds/7/build.json", SUMMARY),
        ("state/builds/7/events.jsonl", EVENTS),
    ]);
    let state = folder.name("state");
    let history = |arguments: &[&str]| {
        let mut all = vec!["history"];
        all.extend(arguments);
        all.extend(["--state", &state]);
        run(&all)
    };
    let (code, output, error) = history(&["ls"]);
    assert_eq!((code, error.as_str()), (0, ""));
    fits(&output);
    let line = output.lines().nth(1).unwrap();
    assert!(line.starts_with("    7  app "), "{line}");
    assert!(
        line.contains(" lost ") && line.contains("0 of 1     2.0s"),
        "{line}"
    );
    let (_, output, _) = history(&["ls", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&json[0]["id"], &json[0]["state"]), (&"7".into(), &"lost".into()));
    assert_eq!(json[0]["seconds"], 2.0);
    let (_, output, _) = history(&["logs"]);
    assert_eq!(output, "#1 [1/1] RUN make\n#1 1.000 made\n#1 DONE 2.0s\n\n");
    let (_, output, _) = history(&["trace", "7"]);
    assert_eq!(output.lines().count(), 3);
    for line in output.lines() {
        assert!(
            serde_json::from_str::<serde_json::Value>(line)
                .unwrap()
                .is_object()
        );
    }
    let (code, _, error) = history(&["logs", "8"]);
    assert_eq!(code, 1);
    assert!(error.contains("no build 8"), "{error}");
    let (code, output, error) = history(&["rm", "7"]);
    assert_eq!((code, output.as_str()), (0, "forgot build 7\n"), "{error}");
    assert_eq!(history(&["logs"]).0, 1);
}

#[test]
fn the_time_of_a_build_without_an_end_is_what_is_known_of_it() {
    let event = |rest: &str| format!(r#"{{"id":"1","seq":1,"event":{{"status":{{{rest}}}}}}}"#) + "\n";
    let step = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    let begun = event(&format!(
        r#""vertexes":[{{"digest":"{step}","name":"FROM a","started":"2020-01-01T00:00:00Z","completed":"2020-01-01T00:00:00Z","cached":true}}]"#
    ));
    let spoke = event(&format!(
        r#""logs":[{{"vertex":"{step}","stream":1,"data":"bWFkZQo=","timestamp":"2020-01-01T00:00:04.5Z"}}]"#
    ));
    let summary = |id: &str| SUMMARY.replace(r#""id":"7""#, &format!(r#""id":"{id}""#));
    let folder = Folder::with(&[
        ("state/worker.lock", ""),
        ("state/builds/1/build.json", &summary("1")),
        ("state/builds/1/events.jsonl", &format!("{begun}{spoke}")),
        ("state/builds/2/build.json", &summary("2")),
        ("state/builds/2/events.jsonl", &begun),
        ("state/builds/3/build.json", &summary("3")),
        ("state/builds/3/events.jsonl", ""),
    ]);
    let listed = || {
        let (code, output, error) = run(&["history", "ls", "--state", &folder.name("state")]);
        assert_eq!((code, error.as_str()), (0, ""));
        let word = |line: &str, place: usize| line.split_whitespace().nth(place).unwrap().to_owned();
        let lines = output.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines.len(), 3, "{output}");
        // A state of two words is one more.
        let time = |line: &String| word(line, if line.contains("at work") { 7 } else { 6 });
        lines.iter().map(time).collect::<Vec<_>>()
    };
    assert_eq!(listed(), ["-", "-", "4.5s"]);
    let lock = std::fs::File::open(folder.path("state/worker.lock")).unwrap();
    lock.lock().unwrap();
    let times = listed();
    assert_eq!(times[0], "-");
    for time in &times[1..] {
        let seconds: f64 = time.strip_suffix('s').unwrap().parse().unwrap();
        assert!(seconds > 100_000_000.0, "since it began: {time}");
    }
}
