//! How long a step takes that does nothing, from asking for it to its verdict, layer included.
//!
//! `cargo run --release -p stagewright --example step_overhead [command...]` runs a command once instead and shows its output.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use stagewright::sandbox::{
    ExitStatus, Network, Output, ProcessSpec, Sandbox, SandboxConfig, isolate_mounts,
};
use stagewright::snapshot::{SnapshotId, SnapshotStore};
use tokio_util::sync::CancellationToken;

const RUNS: usize = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As the program does it: an ordinary user measures as one.
    stagewright::rootless::enter();
    isolate_mounts()?;
    let dir = std::env::temp_dir().join(format!("step-overhead-{}", std::process::id()));
    let result = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = SnapshotStore::open(&dir.join("snapshots"))?;
    let sandbox = Sandbox::new(&SandboxConfig {
        state_dir: dir.join("sandbox"),
    })?;
    let base: SnapshotId = "base".parse()?;
    let active = store.begin(&[])?;
    std::fs::create_dir(active.upper().join("bin"))?;
    std::fs::copy("/bin/busybox", active.upper().join("bin/busybox"))?;
    for applet in ["sh", "true"] {
        symlink("busybox", active.upper().join("bin").join(applet))?;
    }
    active.commit(&base)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let run = |args: &[String],
               network,
               limited: bool|
     -> Result<(ExitStatus, Duration), Box<dyn std::error::Error>> {
        let start = Instant::now();
        let active = store.begin(std::slice::from_ref(&base))?;
        let mut spec = ProcessSpec::new(active.root()?, args.to_vec());
        spec.env = vec!["PATH=/bin".to_owned()];
        spec.network = network;
        if limited {
            spec.limits.memory = Some(1 << 30);
            spec.limits.pids = Some(1000);
        }
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Output>(16);
        let show = async {
            while let Some(output) = receiver.recv().await {
                print!("{}", String::from_utf8_lossy(&output.data));
            }
        };
        let status = runtime
            .block_on(async { tokio::join!(sandbox.run(spec, sender, CancellationToken::new()), show).0 })?;
        Ok((status, start.elapsed()))
    };
    let command: Vec<String> = std::env::args().skip(1).collect();
    if !command.is_empty() {
        println!("{:?}", run(&command, Network::Default, false)?);
        return Ok(());
    }
    let cases = [
        ("the worker's network", Network::Host, false),
        ("no network", Network::None, false),
        ("a network of its own", Network::Default, false),
        (
            "a network of its own, memory and processes limited",
            Network::Default,
            true,
        ),
    ];
    for (what, network, limited) in cases {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            times.push(run(&["/bin/true".to_owned()], network, limited)?.1);
        }
        times.sort();
        println!(
            "{what}: median {:?}, fastest {:?}, slowest tenth from {:?}",
            times[RUNS / 2],
            times[0],
            times[RUNS * 9 / 10]
        );
    }
    Ok(())
}
