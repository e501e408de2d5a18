//! Files from git repositories, served on this machine.

use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use super::*;

/// A repository, and a server of it.
struct Served {
    directory: tempfile::TempDir,
    daemon: Child,
    url: String,
}

/// Whether there is a git to serve with; says why not.
fn servable() -> bool {
    let there = daemon().is_some_and(|daemon| daemon.exists());
    if !there {
        println!("skipped: there is no git daemon to serve a repository with");
    }
    possible() && there
}

fn daemon() -> Option<PathBuf> {
    let said = Command::new("git").arg("--exec-path").output().ok()?;
    let path = String::from_utf8(said.stdout).ok()?;
    Some(Path::new(path.trim()).join("git-daemon"))
}

impl Served {
    /// Serves an empty repository by git's own protocol.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let daemon = Command::new(daemon().unwrap())
            .args([
                "--listen=127.0.0.1",
                &format!("--port={port}"),
                "--export-all",
                "--reuseaddr",
            ])
            .arg(format!("--base-path={}", directory.path().display()))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let served = Self {
            directory,
            daemon,
            url: format!("git://127.0.0.1:{port}/repo/.git"),
        };
        fs::create_dir(served.work()).unwrap();
        served.git(&["init", "--quiet", "-b", "main"]);
        served
    }

    fn work(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let said = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(self.work())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_DATE", "2001-02-03T04:05:06Z")
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&said.stderr)
        );
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    /// Writes files and commits them; gives the commit.
    fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.work().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", "a commit"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

async fn add(worker: &Worker, what: &str) -> Outcome {
    build(worker, &format!("FROM base\nADD {what} /in/\n")).await
}

async fn build(worker: &Worker, dockerfile: &str) -> Outcome {
    let analysis = worker.plan(dockerfile, |_| {}).await;
    let extras = Extras {
        local: true,
        ..Extras::default()
    };
    let id = worker.start_extra(analysis, &[], false, extras);
    worker.outcome(id).await
}

fn diff_ids(outcome: &Outcome) -> Vec<String> {
    let layers = outcome.image().layers.iter();
    layers.map(|layer| layer.diff_id.to_string()).collect()
}

/// The reasons that the steps of a build gave.
fn reasons(outcome: &Outcome) -> String {
    let statuses = outcome.events.iter().filter_map(|event| match &event.event {
        Event::Status(status) => Some(status),
        _ => None,
    });
    statuses
        .flat_map(|status| &status.vertexes)
        .map(|vertex| vertex.reason.clone() + "\n")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_asked_for_by_every_build_and_fetched_where_it_moved() {
    if !servable() {
        return;
    }
    let (ground, served) = (Ground::new(), Served::start());
    let worker = ground.worker();
    let first = served.commit(&[("a.txt", "one"), ("dir/b.txt", "two")]);
    let outcome = add(&worker, &served.url).await;
    assert_eq!(worker.file(&outcome, "in/a.txt").as_deref(), Some("one"));
    assert_eq!(worker.file(&outcome, "in/dir/b.txt").as_deref(), Some("two"));
    assert_eq!(worker.file(&outcome, "in/.git/HEAD"), None);
    assert!(reasons(&outcome).contains(&format!("first checkout of commit {}", &first[..12])));
    let again = add(&worker, &served.url).await;
    assert!(
        reasons(&again).contains("cached: the repository is still there, and build 1 got commit"),
        "{}",
        reasons(&again)
    );
    assert_eq!(again.image(), outcome.image());

    let second = served.commit(&[("a.txt", "moved")]);
    let moved = add(&worker, &served.url).await;
    assert!(
        reasons(&moved).contains(&format!(
            "rerun: the repository is at commit {}, another than in build",
            &second[..12]
        )),
        "{}",
        reasons(&moved)
    );
    assert_eq!(worker.file(&moved, "in/a.txt").as_deref(), Some("moved"));
    // A commit stands for itself, also where the branch has left it.
    let fixed = add(&worker, &format!("{}#{first}", served.url)).await;
    assert_eq!(diff_ids(&fixed), diff_ids(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_tags_and_directories_are_what_they_are_called() {
    if !servable() {
        return;
    }
    let (ground, served) = (Ground::new(), Served::start());
    let worker = ground.worker();
    served.commit(&[("a.txt", "old"), ("dir/deep/b.txt", "deep")]);
    served.git(&["tag", "-a", "v1", "-m", "a tag"]);
    served.git(&["branch", "side"]);
    let new = served.commit(&[("a.txt", "new")]);
    for (what, path, content) in [
        ("#v1", "in/a.txt", "old"),
        ("#side", "in/a.txt", "old"),
        ("#refs/heads/main", "in/a.txt", "new"),
        ("?tag=v1", "in/a.txt", "old"),
        ("#v1:dir", "in/deep/b.txt", "deep"),
        ("#:dir/deep", "in/b.txt", "deep"),
    ] {
        let outcome = add(&worker, &format!("{}{what}", served.url)).await;
        assert_eq!(worker.file(&outcome, path).as_deref(), Some(content), "{what}");
    }
    for (what, says) in [
        ("#nowhere", "has no branch or tag \"nowhere\""),
        ("#:nodir", "has no directory \"nodir\""),
        ("#:a.txt", "has no directory \"a.txt\""),
        (&format!("#{}", &new[..10]), "named by all of its 40 digits"),
        ("?checksum=0123456", "and not at 0123456 as asked for"),
    ] {
        let outcome = add(&worker, &format!("{}{what}", served.url)).await;
        assert!(
            outcome.failure().message.contains(says),
            "{what}: {}",
            outcome.failure().message
        );
    }
    let right = add(&worker, &format!("--checksum={new} {}", served.url)).await;
    assert_eq!(worker.file(&right, "in/a.txt").as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repository_itself_is_kept_where_that_is_asked_for() {
    if !servable() {
        return;
    }
    let (ground, served) = (Ground::new(), Served::start());
    let worker = ground.worker();
    let commit = served.commit(&[("a.txt", "one")]);
    served.git(&["tag", "-a", "v1", "-m", "a tag"]);
    let kept = add(&worker, &format!("--keep-git-dir=true {}", served.url)).await;
    assert_eq!(
        worker.file(&kept, "in/.git/HEAD").as_deref(),
        Some(format!("{commit}\n").as_str())
    );
    assert!(
        worker
            .file(&kept, "in/.git/config")
            .unwrap()
            .contains(&served.url)
    );
    assert_eq!(worker.file(&kept, "in/.git/FETCH_HEAD"), None);
    let tagged = add(&worker, &format!("--keep-git-dir=true {}#v1", served.url)).await;
    assert_eq!(worker.file(&tagged, "in/a.txt").as_deref(), Some("one"));
    assert!(
        worker.file(&tagged, "in/.git/refs/tags/v1").is_some()
            || worker.file(&tagged, "in/.git/packed-refs").is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_roots_with_the_modes_of_git_and_the_time_of_their_commit() {
    if !servable() {
        return;
    }
    let (ground, served) = (Ground::new(), Served::start());
    let worker = ground.worker();
    symlink("a.sh", served.work().join("link")).unwrap();
    fs::write(served.work().join("a.sh"), "").unwrap();
    fs::set_permissions(served.work().join("a.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    served.commit(&[("b.txt", "b")]);
    let outcome = add(&worker, &served.url).await;
    let layer = &outcome.image().layers.last().unwrap().digest;
    let blob = worker.builds.contexts().content().open_blob(layer).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob));
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let path = entry.path().unwrap().display().to_string();
        found.insert(
            path,
            (
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.mtime().unwrap(),
            ),
        );
    }
    let time = 981_173_106;
    assert_eq!(found["in/a.sh"], (0o755, 0, time));
    assert_eq!(found["in/b.txt"], (0o644, 0, time));
    assert_eq!(found["in/link"], (0o777, 0, time));
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_come_along_unless_they_are_not_wanted() {
    if !servable() {
        return;
    }
    let (ground, served, inner) = (Ground::new(), Served::start(), Served::start());
    let worker = ground.worker();
    inner.commit(&[("deep.txt", "inner")]);
    served.commit(&[("a.txt", "one")]);
    served.git(&["submodule", "--quiet", "add", &inner.url, "sub"]);
    served.commit(&[]);
    let with = add(&worker, &served.url).await;
    assert_eq!(worker.file(&with, "in/sub/deep.txt").as_deref(), Some("inner"));
    assert_eq!(worker.file(&with, "in/sub/.git"), None);
    let without = add(&worker, &format!("{}?submodules=false", served.url)).await;
    assert_eq!(worker.file(&without, "in/a.txt").as_deref(), Some("one"));
    assert_eq!(worker.file(&without, "in/sub/deep.txt"), None);
    let kept = add(&worker, &format!("--keep-git-dir=true {}", served.url)).await;
    assert_eq!(worker.file(&kept, "in/sub/deep.txt").as_deref(), Some("inner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_that_is_this_machine_says_so() {
    if !servable() {
        return;
    }
    let (ground, served) = (Ground::new(), Served::start());
    let worker = ground.worker();
    served.commit(&[("a.txt", "one")]);
    let dockerfile = format!("FROM base\nADD {} /in/\n", served.url);
    let outsider = worker.build(&dockerfile, &[]).await;
    assert!(
        outsider.failure().message.contains("the worker's own machine"),
        "{}",
        outsider.failure().message
    );
    drop(served);
    let nobody = build(&worker, &dockerfile).await;
    let said = &nobody.failure().message;
    assert!(
        said.contains("git cannot read git://127.0.0.1") && said.contains("refused"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_counted_and_goes_once_no_build_uses_it() {
    use crate::storage::prune::Policy;
    use crate::storage::usage::{Item, Kind};
    if !servable() {
        return;
    }
    let (ground, served) = (Ground::new(), Served::start());
    let worker = ground.worker();
    served.commit(&[("a.txt", "one")]);
    let repositories = |items: Vec<Item>| -> Vec<Item> {
        let of = items.into_iter().filter(|item| item.kind == Kind::Repository);
        of.collect()
    };
    let dockerfile = format!(
        "FROM base\nADD {} /in/\nRUN cat /in/a.txt; echo wait; sleep 2\n",
        served.url
    );
    let analysis = worker.plan(&dockerfile, |_| {}).await;
    let extras = Extras {
        local: true,
        ..Extras::default()
    };
    let id = worker.start_extra(analysis, &[], false, extras);
    worker.printed(&id, "wait").await;
    let held = repositories(worker.storage.usage().unwrap().items);
    let [held] = held.as_slice() else {
        panic!("{held:?}")
    };
    assert!(held.size > 1000 && held.in_use.is_some(), "{held:?}");
    let mut policy = Policy::cache();
    policy.kinds = [Kind::Repository].into();
    assert_eq!(worker.storage.prune(&policy).unwrap().removed, []);
    worker.outcome(id).await.image();
    // A build lets go of what it held soon after its last event.
    while repositories(worker.storage.usage().unwrap().items)[0]
        .in_use
        .is_some()
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // By age as all the rest: it was used a moment ago.
    policy.unused_since = Some(std::time::SystemTime::now() - std::time::Duration::from_hours(1));
    assert_eq!(worker.storage.prune(&policy).unwrap().removed, []);
    policy.unused_since = None;
    let pruned = worker.storage.prune(&policy).unwrap();
    assert_eq!(repositories(pruned.removed).len(), 1);
    assert!(pruned.freed >= held.size, "{}", pruned.freed);
    assert_eq!(repositories(worker.storage.usage().unwrap().items), []);
    // The next build fetches it anew.
    let again = build(&worker, &dockerfile.replace("sleep 2", "true")).await;
    assert_eq!(worker.file(&again, "in/a.txt").as_deref(), Some("one"));
}
