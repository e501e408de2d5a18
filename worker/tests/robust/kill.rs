//! Workers that are killed at any moment.
//!
//! `STAGEWRIGHT_KILLS` says how often (10 where it is not set), `STAGEWRIGHT_SEED` repeats a run.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use crate::ground::{Ended, Ground, ended};
use crate::pushed;
use crate::registry::Registry;
use crate::verify::{entries, whole};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A row of numbers that one number begins (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// Runs a command and kills it after that time, if it lives that long. Says whether it was killed.
fn killed(ground: &Ground, arguments: &[&str], after: Duration) -> (Ended, bool) {
    let child = ground.command(arguments).spawn().unwrap();
    let id = rustix::process::Pid::from_child(&child);
    std::thread::sleep(after);
    // It may have ended already; nobody else gets its number before it was waited for.
    _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    let output = child.wait_with_output().unwrap();
    let was_killed = output.status.signal() == Some(9);
    (ended(&output), was_killed)
}

#[test]
fn a_worker_may_be_killed_at_any_moment() {
    let Some(ground) = Ground::new() else { return };
    let kills = number("STAGEWRIGHT_KILLS").unwrap_or(10);
    let seed = number("STAGEWRIGHT_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    println!("STAGEWRIGHT_SEED={seed}");
    let mut dice = Dice(seed);
    let begin = Instant::now();
    ground.build("0").well();
    let whole_build = begin.elapsed();
    let registry = Registry::start(ground.state.parent().unwrap());
    let (mut in_builds, mut in_pushes, mut in_prunes, mut done_and_cached) = (0, 0, 0, 0);
    let mut round = 0_u32;
    while in_builds + in_pushes + in_prunes < kills {
        round += 1;
        // Looking at everything takes the longer the more there is.
        if round.is_multiple_of(8) {
            ground.run(&["prune"]).well();
        }
        let name = round.to_string();
        let limit = u64::try_from(whole_build.as_micros()).unwrap();
        let argument = format!("ROUND={name}");
        let build = ["build", "-t", "app", "--build-arg", &argument, "."];
        let (ended, was_killed) = killed(&ground, &build, Duration::from_micros(dice.below(limit)));
        in_builds += u64::from(was_killed);
        whole(&ground.state);
        // The next start is clean, what was finished is cached, and what comes of it is right.
        let again = ground.build(&name);
        again.well();
        let (finished, cached) = (steps_that_are_kept(&ended), again.steps("CACHED"));
        let lost: Vec<_> = finished.difference(&cached).collect();
        assert_eq!(
            lost, [""; 0],
            "finished before the kill, and run again:\n{}\n{}",
            ended.err, again.err
        );
        done_and_cached += finished.len();
        swept(&ground);
        if round.is_multiple_of(20) {
            println!("{in_builds} builds, {in_pushes} pushes and {in_prunes} prunes killed");
        }
        if let Some(registry) = registry.as_ref().filter(|_| dice.below(2) == 0) {
            in_pushes += u64::from(push_is_killed(&ground, registry, &argument, &mut dice));
        }

        if dice.below(2) == 0 {
            let prune: &[&str] = match dice.below(4) {
                0 => &["prune", "--all"],
                1 => &["prune", "--keep-storage", "2MB"],
                2 => &["prune", "--kind", "layer"],
                _ => &["prune", "--kind", "blob"],
            };
            let (_, was_killed) = killed(&ground, prune, Duration::from_micros(dice.below(150_000)));
            in_prunes += u64::from(was_killed);
            whole(&ground.state);
            ground.build(&name).well();
            whole(&ground.state);
        }
    }
    println!(
        "killed {in_builds} builds, {in_pushes} pushes and {in_prunes} prunes; {done_and_cached} finished steps were \
         cached, none was lost"
    );
    // Nothing is left over in the end.
    ground.run(&["image", "rm", "app"]).well();
    for name in ["app", "other"] {
        if let Some(registry) = &registry {
            // There is none where no push was tried.
            ground.run(&["image", "rm", &format!("{}/{name}", registry.host)]);
        }
    }
    ground.run(&["prune", "--all"]).well();
    let usage: serde_json::Value =
        serde_json::from_str(&ground.run(&["du", "--format", "json"]).well().out).unwrap();
    assert_eq!(usage["items"].as_array().unwrap().len(), 0, "{usage:#}");
}

/// Kills a push of what was built, and pushes again. Says whether it was killed at work.
fn push_is_killed(ground: &Ground, registry: &Registry, argument: &str, dice: &mut Dice) -> bool {
    let name = format!("{}/app", registry.host);
    let push = ["build", "--push", "-t", &name, "--build-arg", argument, "."];
    // All is cached by now, so most of this is the push. One to another repository takes as long.
    let limit = {
        let other = format!("{}/other", registry.host);
        let begin = Instant::now();
        ground
            .run(&["build", "--push", "-t", &other, "--build-arg", argument, "."])
            .well();
        u64::try_from(begin.elapsed().as_micros()).unwrap()
    };
    let (_, was_killed) = killed(ground, &push, Duration::from_micros(dice.below(limit)));
    whole(&ground.state);
    let again = ground.run(&push);
    again.well();
    // What a killed push left in the registry is in nobody's way.
    let torn = pushed::torn_uploads(registry, "app");
    assert_eq!(
        pushed::latest(registry, "app"),
        again.out.trim(),
        "{torn} torn uploads"
    );
    was_killed
}

/// Steps that had ended well when the worker was killed. A build context is no step: it is looked at in every build.
fn steps_that_are_kept(ended: &Ended) -> std::collections::BTreeSet<String> {
    let mut done = ended.steps("DONE");
    done.extend(ended.steps("CACHED"));
    done.retain(|name| !name.starts_with("[internal]"));
    done
}

/// After an orderly end nothing lies about that only a running build needs.
fn swept(ground: &Ground) {
    for place in [
        "snapshots/active",
        "snapshots/trash",
        "scratch",
        "content/writing",
    ] {
        let left = entries(&ground.state.join(place));
        assert_eq!(left.len(), 0, "{left:?}");
    }
}
