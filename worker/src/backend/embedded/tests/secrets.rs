//! Secrets and agents: the step has them, and nothing that is kept does.

use super::*;
use crate::source::secret::{Secret, Secrets};

const VALUE: &str = "s3cr3t-0f-th3-t3st";

fn extras(secrets: &[(&str, &str)]) -> Extras {
    let mut given = Secrets::default();
    for (id, value) in secrets {
        given.add_value(*id, Secret::new(value.as_bytes().to_vec()));
    }
    Extras {
        secrets: Arc::new(given),
        ..Extras::default()
    }
}

async fn build(worker: &Worker, dockerfile: &str, extras: Extras) -> Outcome {
    let analysis = worker.plan(dockerfile, |_| {}).await;
    let id = worker.start_extra(analysis, &[], false, extras);
    worker.outcome(id).await
}

/// The files under a directory that hold `needle`.
fn holding(directory: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // The mark of a layer that is not on the disk yet goes when it is.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            assert!(path.ends_with("unsynced"), "{path:?}");
            continue;
        };
        if metadata.is_dir() {
            found.extend(holding(&path, needle));
        } else if metadata.is_file()
            && fs::read(&path)
                .unwrap_or_else(|error| {
                    assert!(path.ends_with("unsynced"), "{path:?}: {error}");
                    Vec::new()
                })
                .windows(needle.len())
                .any(|part| part == needle)
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_there_as_it_was_asked_for_and_kept_nowhere() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nRUN \
        --mount=type=secret,id=token --mount=type=secret,id=token,target=/root/.cfg/key,mode=0440,uid=7,gid=8 \
        --mount=type=secret,id=token,env=TOKEN \
        test $(cat /run/secrets/token) = \"$TOKEN\" && test ${#TOKEN} = 18 && echo got $TOKEN. && \
        ls -ln /run/secrets/token /root/.cfg/key && echo x 2>/dev/null > /run/secrets/token || echo refused\n";
    let outcome = build(&worker, dockerfile, extras(&[("token", VALUE)])).await;
    let log = outcome.log();
    outcome.image();
    assert!(log.contains("got ***."), "{log}");
    assert!(log.contains("refused"), "{log}");
    let line = |mode: &str, owner: &str| {
        log.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&mode)
                && words.get(2..4).map(|words| words.join(" ")).as_deref() == Some(owner)
        })
    };
    assert!(line("-r--------", "0 0") && line("-r--r-----", "7 8"), "{log}");
    // Neither the secret nor the place where it was mounted is in a layer.
    assert_eq!(worker.file(&outcome, "root/.cfg/key"), None);
    assert_eq!(
        holding(ground.directory.path(), VALUE.as_bytes()),
        Vec::<PathBuf>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_value_is_the_same_step_and_another_id_is_not() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token > /dev/null; true\n";
    build(&worker, dockerfile, extras(&[("token", "one-value")])).await;
    let again = build(&worker, dockerfile, extras(&[("token", "another-value")])).await;
    assert_eq!(again.ran(), Vec::<String>::new());
    let other = build(&worker, &dockerfile.replace("id=token", "id=other"), extras(&[])).await;
    assert_eq!(other.ran().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_or_agent_that_was_not_given_is_missed_only_where_it_is_required() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    for (mount, says) in [
        ("type=secret,id=token", "--secret id=token,src=FILE"),
        ("type=secret,id=token,env=TOKEN", "--secret id=token,src=FILE"),
        ("type=ssh", "--ssh default"),
        ("type=ssh,id=github", "--ssh github"),
    ] {
        let dockerfile = format!(
            "FROM base\nRUN --mount={mount} test ! -e /run/secrets/token && test -z \"$TOKEN\" && test ! -S \"$SSH_AUTH_SOCK\"\n"
        );
        build(&worker, &dockerfile, Extras::default()).await.image();
        let required = dockerfile.replace(mount, &format!("{mount},required=true"));
        let refused = build(&worker, &required, Extras::default()).await;
        assert!(
            refused.failure().message.contains(says),
            "{}",
            refused.failure().message
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_not_given_is_missed_before_a_cache_is_waited_for() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let lock = "--mount=type=cache,target=/c,sharing=locked";
    let holds = format!("FROM base\nRUN {lock} echo holding && sleep 20\n");
    let holding = worker.start(&holds, &[]).await;
    worker.printed(&holding, "holding").await;
    for mount in ["type=secret,id=token", "type=ssh"] {
        let started = std::time::Instant::now();
        let lacks = format!("FROM base\nRUN {lock} --mount={mount},required=true true\n");
        let refused = build(&worker, &lacks, Extras::default()).await;
        let message = &refused.failure().message;
        assert!(message.contains("was given none of that name"), "{message}");
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
    worker.builds.cancel(&holding).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_step_does_not_tell_a_secret_in_its_last_lines() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token >&2; false\n";
    let outcome = build(&worker, dockerfile, extras(&[("token", VALUE)])).await;
    assert!(
        outcome.failure().message.contains("***"),
        "{}",
        outcome.failure().message
    );
    assert_eq!(
        holding(ground.directory.path(), VALUE.as_bytes()),
        Vec::<PathBuf>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_a_socket_with_the_owner_and_mode_that_were_asked_for() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let socket = ground.directory.path().join("agent");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let extras = Extras {
        agents: Arc::new(BTreeMap::from([("default".to_owned(), socket)])),
        ..Extras::default()
    };
    let dockerfile = "FROM base\nRUN --mount=type=ssh,mode=0666,uid=1000,gid=7 test -S $SSH_AUTH_SOCK && ls -ln $SSH_AUTH_SOCK\n";
    let outcome = build(&worker, dockerfile, extras).await;
    assert!(outcome.log().contains("srw-rw-rw-"), "{}", outcome.log());
    assert!(outcome.log().contains("1000     7"), "{}", outcome.log());
    assert_eq!(worker.file(&outcome, "run/buildkit/ssh_agent.0"), None);
    drop(listener);
}
