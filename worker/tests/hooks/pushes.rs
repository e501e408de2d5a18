//! A push becomes an image.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::callback::Receiving;
use crate::place::{Place, push_event, until};
use crate::registry::Registry;

const DOCKERFILE: &str = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo built > /built\"]\n";

/// The digest that a registry has under a name.
fn digest(registry: &Registry, repository: &str, tag: &str) -> Option<String> {
    let mut connection = TcpStream::connect(&registry.host).unwrap();
    write!(
        connection,
        "HEAD /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n",
        registry.host
    )
    .unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let line = text
        .lines()
        .find(|line| line.to_lowercase().starts_with("docker-content-digest: "))?;
    Some(line.split_once(": ")?.1.to_owned())
}

#[test]
fn push_lands_as_an_image_in_the_registry_and_its_end_is_told() {
    let Some(place) = Place::new() else { return };
    let Some(registry) = Registry::start(place.folder()) else {
        return;
    };
    // It does not answer at first, and is asked again.
    let told = Receiving::start(1);
    let tags = ["{short}", "{ref}"].map(|tag| format!("{}/app:{tag}", registry.host));
    let tags = tags.each_ref().map(String::as_str);
    let token = place.token();
    let worker = place.serve(&tags, Some(&told.url));
    let commit = place.push("feature/one", DOCKERFILE);
    // What is pushed later is not what is built.
    place.push("feature/one", "FROM scratch\nLABEL later=1\n");

    let (status, pong) = worker.github("ping-1", "ping", &serde_json::json!({ "zen": "x" }));
    assert_eq!(
        (status, &pong["outcome"]),
        (200, &Value::from("ignored")),
        "{pong}"
    );
    let event = push_event("refs/heads/feature/one", &commit);
    let (status, answer) = worker.github("delivery-1", "push", &event);
    assert_eq!(status, 202, "{answer}");
    let build = answer["build"].as_str().unwrap();

    let message = told.next();
    assert_eq!(message["state"], "done", "{message}");
    assert_eq!(message["build"], build);
    assert_eq!(message["commit"], commit.as_str());
    assert_eq!(message["ref"], "refs/heads/feature/one");
    let names = [
        format!("{}/app:{}", registry.host, &commit[..7]),
        format!("{}/app:feature-one", registry.host),
    ];
    assert_eq!(message["names"], serde_json::json!(names));
    for tag in [&commit[..7], "feature-one"] {
        assert_eq!(
            digest(&registry, "app", tag).as_deref(),
            message["image"].as_str(),
            "{tag}"
        );
    }

    // The same again builds nothing, also under another name.
    for delivery in ["delivery-1", "delivery-2"] {
        let (status, again) = worker.github(delivery, "push", &event);
        assert_eq!(
            (status, &again["outcome"]),
            (200, &Value::from("known")),
            "{again}"
        );
        assert_eq!(again["build"], build);
    }
    assert_eq!(place.builds(), 1);
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    // What came of it is noted a moment after it was told.
    let listed = || worker.ask("GET", "/v1/hooks/app/deliveries", &headers, b"").1;
    until("the callback's result", || listed().contains("delivered"));
    let deliveries: Value = serde_json::from_str(&listed()).unwrap();
    let ids: Vec<&str> = deliveries
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["delivery-1", "ping-1"]);
    assert_eq!(deliveries[0]["state"], "done");
    assert_eq!(deliveries[0]["callback"]["attempts"], 2, "{deliveries}");
    assert!(!listed().contains(crate::callback::SECRET));
}

/// Steps that have ended: name -> whether from the cache; and those under way.
fn steps(events: &[Value]) -> (BTreeMap<String, bool>, Vec<String>) {
    let (mut ended, mut begun) = (BTreeMap::new(), Vec::new());
    for event in events {
        for vertex in event["event"]["status"]["vertexes"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let name = vertex["name"].as_str().unwrap().to_owned();
            if vertex.get("completed").is_some() {
                ended.insert(name, vertex["cached"] == true);
            } else if vertex.get("started").is_some() {
                begun.push(name);
            }
        }
    }
    (ended, begun)
}

#[test]
fn worker_that_is_killed_in_a_build_keeps_queue_history_and_finished_steps() {
    let Some(place) = Place::new() else { return };
    let told = Receiving::start(0);
    let slow = format!("{DOCKERFILE}RUN [\"/bin/busybox\", \"sleep\", \"3\"]\n");
    let worker = place.serve(&[], Some(&told.url));
    let commit = place.push("main", &slow);
    let (status, first) = worker.github("1", "push", &push_event("refs/heads/main", &commit));
    assert_eq!(status, 202, "{first}");
    let other = place.push("feature/two", DOCKERFILE);
    let (status, second) = worker.github("2", "push", &push_event("refs/heads/feature/two", &other));
    assert_eq!(status, 202, "{second}");
    until("the slow step", || {
        steps(&place.events("1"))
            .1
            .iter()
            .any(|name| name.contains("sleep"))
    });
    let before = place.events("1").len();
    worker.kill();

    let worker = place.serve(&[], Some(&told.url));
    // Nobody asks again, and what came before is known.
    let (status, again) = worker.github("1", "push", &push_event("refs/heads/main", &commit));
    assert_eq!(
        (status, &again["outcome"]),
        (200, &Value::from("known")),
        "{again}"
    );
    let ends = [told.next(), told.next()];
    let ended: Vec<_> = ends
        .iter()
        .map(|end| (end["build"].as_str().unwrap(), end["state"].as_str().unwrap()))
        .collect();
    assert_eq!(ended, [("1", "done"), ("2", "done")]);
    assert!(told.is_empty());
    assert_eq!(place.builds(), 2);
    let events = place.events("1");
    assert!(events.len() > before);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index + 1, "{event}");
    }
    let (finished, _) = steps(&events[..before]);
    let (in_the_end, _) = steps(&events);
    let built = in_the_end
        .iter()
        .find(|(name, _)| name.contains("echo built"))
        .unwrap();
    assert!(built.1, "{in_the_end:?}");
    assert!(finished.keys().all(|name| in_the_end.contains_key(name)));
}

#[test]
fn newer_push_of_a_branch_takes_the_place_of_one_that_waits() {
    let Some(place) = Place::new() else { return };
    let told = Receiving::start(0);
    let worker = place.serve(&[], Some(&told.url));
    let slow = format!("{DOCKERFILE}RUN [\"/bin/busybox\", \"sleep\", \"2\"]\n");
    let first = place.push("main", &slow);
    worker.github("1", "push", &push_event("refs/heads/main", &first));
    until("the first build", || !place.events("1").is_empty());
    let second = place.push("main", &format!("{DOCKERFILE}LABEL a=2\n"));
    worker.github("2", "push", &push_event("refs/heads/main", &second));
    let third = place.push("main", &format!("{DOCKERFILE}LABEL a=3\n"));
    worker.github("3", "push", &push_event("refs/heads/main", &third));
    let superseded = told.next();
    assert_eq!(
        (&superseded["build"], &superseded["state"]),
        (&"2".into(), &"cancelled".into())
    );
    assert_eq!(superseded["supersededBy"], "3");
    for (build, commit) in [("1", first), ("3", third)] {
        let end = told.next();
        assert_eq!(
            (&end["build"], &end["state"]),
            (&build.into(), &"done".into()),
            "{end}"
        );
        assert_eq!(end["commit"], commit.as_str());
    }
}
