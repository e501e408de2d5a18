//! Steps that use up what there is: processes, memory, time, the log, the disk.

use std::fs;
use std::time::{Duration, Instant};

use crate::stage::{Stage, files, holds};

/// A worker that gives steps little. `None`, with the reason printed, where this machine cannot limit what they use.
fn limited() -> Option<Stage> {
    let stage = Stage::with_config(
        "[limits]\nstep-processes = 60\nstep-memory = \"64MiB\"\nstep-seconds = 20\nstep-log = \"64KiB\"\n",
    )?;
    let doctor = stage.ground.run(&["doctor"]).out;
    if doctor.contains("ok  limits") {
        Some(stage)
    } else {
        println!("skipped: {doctor}");
        None
    }
}

/// How many processes have this in their command line.
fn running(mark: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| holds(&line, mark.as_bytes()))
        })
        .count()
}

#[test]
fn a_fork_bomb_ends_with_its_step() {
    let Some(stage) = limited() else { return };
    let began = Instant::now();
    // Each makes two of itself; the name is for finding them, and nobody else's.
    let bomb = format!("bomb-{}", std::process::id());
    stage.add(
        &format!("{bomb}.sh"),
        format!("sh /b/{bomb}.sh & sh /b/{bomb}.sh & wait\n"),
    );
    let most = std::sync::atomic::AtomicUsize::new(0);
    let end = std::sync::atomic::AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(std::sync::atomic::Ordering::Relaxed) {
                most.fetch_max(running(&bomb), std::sync::atomic::Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let (ended, _) = stage.build(
            &format!("RUN --mount=type=bind,target=/b sh /b/{bomb}.sh; echo survived"),
            &[],
        );
        end.store(true, std::sync::atomic::Ordering::Relaxed);
        ended
    });
    assert!(matches!(ended.code, Some(0 | 1)), "{}", ended.err);
    // It went off, and no further than it may.
    let most = most.into_inner();
    assert!((10..=62).contains(&most), "{most} processes");
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    assert_eq!(running(&bomb), 0);
    assert!(
        ended.err.contains("can't fork") || ended.err.contains("longer than"),
        "{}",
        ended.err
    );
    stage.build("RUN echo on with it", &[]).0.well();
}

#[test]
fn a_memory_bomb_ends_its_step_alone_wherever_the_memory_is_taken() {
    let Some(stage) = limited() else { return };
    for bomb in [
        "RUN dd if=/dev/zero of=/dev/null bs=300M count=1",
        "RUN dd if=/dev/zero of=/dev/shm/x bs=1M count=300",
        "RUN --mount=type=tmpfs,target=/t dd if=/dev/zero of=/t/x bs=1M count=300",
        "RUN tail /dev/zero",
    ] {
        let (ended, _) = stage.build(bomb, &["--no-cache"]);
        assert_eq!(ended.code, Some(1), "{bomb}: {}", ended.err);
        let told = ended.err.contains("64 MiB of memory") || ended.err.contains("No space left");
        assert!(
            told || ended.err.contains("signal 9") || ended.err.contains("137"),
            "{bomb}: {}",
            ended.err
        );
    }
    stage.build("RUN echo on with it", &[]).0.well();
}

#[test]
fn a_step_that_never_ends_is_ended_with_all_that_it_left_running() {
    let Some(stage) = limited() else { return };
    let began = Instant::now();
    // So long does nobody else sleep.
    let time = format!("5{}.5", std::process::id());
    let run = format!("RUN (setsid sleep {time} &); trap '' TERM HUP INT; while true; do sleep {time}; done");
    let ended = std::thread::scope(|scope| {
        let build = scope.spawn(|| stage.build(&run, &[]).0);
        let mut seen = 0;
        while seen < 2 && !build.is_finished() {
            seen = running(&time);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(seen >= 2, "both of them ran");
        build.join().unwrap()
    });
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("20 seconds"), "{}", ended.err);
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert_eq!(running(&time), 0);
}

#[test]
fn a_flood_of_output_is_cut_and_kept_nowhere() {
    let Some(stage) = limited() else { return };
    let (ended, _) = stage.build("RUN yes flood-51775 | head -c 50000000; true", &[]);
    assert!(ended.err.len() < 2 << 20, "{} bytes", ended.err.len());
    assert!(
        ended.err.contains("output clipped"),
        "{}",
        ended.err.get(..2000).unwrap_or_default()
    );
    let kept: u64 = files(&stage.ground.state.join("builds"))
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(kept < 2 << 20, "{kept} bytes of records");
}

#[test]
fn one_line_without_an_end_is_cut_too() {
    let Some(stage) = limited() else { return };
    let (ended, _) = stage.build(
        "RUN head -c 50000000 /dev/zero | tr '\\0' x; echo; echo after; true",
        &[],
    );
    ended.well();
    assert!(ended.err.len() < 2 << 20, "{} bytes", ended.err.len());
}
