use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

fn store() -> (tempfile::TempDir, ContentStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ContentStore::open(directory.path().join("content")).unwrap();
    (directory, store)
}

fn names_in(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn put_bytes_come_back_under_their_digest() {
    let (_directory, store) = store();
    let digest = store.put(b"layer").unwrap();
    assert_eq!(digest, Digest::of(b"layer"));
    assert_eq!(store.put(b"layer").unwrap(), digest);
    assert_eq!(store.read(&digest, 5).unwrap(), b"layer");
    assert_eq!(store.size(&digest), Some(5));
    assert_eq!(store.blobs().unwrap(), [(digest.clone(), 5)]);
    assert_eq!(names_in(&store.root.writing), 0);
    store.remove(&digest).unwrap();
    store.remove(&digest).unwrap();
    assert!(matches!(store.read(&digest, 5), Err(ContentError::Missing(_))));
}

#[test]
fn reading_is_bounded() {
    let (_directory, store) = store();
    let digest = store.put(b"123456").unwrap();
    assert!(matches!(
        store.read(&digest, 5),
        Err(ContentError::TooLarge {
            size: 6,
            limit: 5,
            ..
        })
    ));
}

#[test]
fn ingest_goes_on_where_a_dropped_one_stopped() {
    let (_directory, store) = store();
    let digest = Digest::of(b"hello world");
    let mut first = store.ingest(&digest, Some(11)).unwrap();
    first.write_at(0, b"hello").unwrap();
    drop(first);
    assert_eq!(store.partial_size(&digest), 5);
    assert!(!store.contains(&digest));

    let store = ContentStore::open(store.root.ingest.parent().unwrap()).unwrap();
    let mut second = store.ingest(&digest, Some(11)).unwrap();
    assert_eq!(second.offset(), 5);
    // A client that did not hear how much arrived sends some of it again.
    second.write_at(3, b"lo wor").unwrap();
    second.write_at(0, b"hello").unwrap();
    assert!(matches!(
        second.write_at(10, b"d"),
        Err(ContentError::Gap { have: 9, .. })
    ));
    second.write_at(9, b"ld").unwrap();
    assert!(second.is_complete());
    second.commit().unwrap();
    assert_eq!(store.read(&digest, 64).unwrap(), b"hello world");
    assert_eq!(store.partial_size(&digest), 0);
    assert!(matches!(
        store.ingest(&digest, None),
        Err(ContentError::Present(_))
    ));
}

#[test]
fn wrong_content_is_thrown_away_and_may_be_sent_again() {
    let (_directory, store) = store();
    let digest = Digest::of(b"right");
    let mut ingest = store.ingest(&digest, None).unwrap();
    ingest.write_at(0, b"wrong").unwrap();
    assert!(matches!(ingest.commit(), Err(ContentError::WrongDigest { .. })));
    assert!(!store.contains(&digest));
    let mut ingest = store.ingest(&digest, None).unwrap();
    assert_eq!(ingest.offset(), 0);
    ingest.write_at(0, b"right").unwrap();
    ingest.commit().unwrap();
    assert!(store.contains(&digest));
}

#[test]
fn short_content_stays_to_be_continued_and_long_content_does_not() {
    let (_directory, store) = store();
    let digest = Digest::of(b"right");
    let mut ingest = store.ingest(&digest, Some(5)).unwrap();
    ingest.write_at(0, b"rig").unwrap();
    assert!(matches!(
        ingest.commit(),
        Err(ContentError::WrongSize {
            expected: 5,
            actual: 3,
            ..
        })
    ));
    let mut ingest = store.ingest(&digest, Some(5)).unwrap();
    assert_eq!(ingest.offset(), 3);
    assert!(matches!(
        ingest.write_at(3, b"htly"),
        Err(ContentError::WrongSize {
            expected: 5,
            actual: 7,
            ..
        })
    ));
    assert_eq!(ingest.offset(), 0);
}

#[test]
fn second_writer_of_one_blob_is_told_so() {
    let (_directory, store) = store();
    let digest = Digest::of(b"x");
    let first = store.ingest(&digest, None).unwrap();
    assert!(matches!(store.ingest(&digest, None), Err(ContentError::Busy(_))));
    drop(first);
    assert!(store.ingest(&digest, None).is_ok());
}

#[test]
fn writers_of_the_same_bytes_both_succeed() {
    let (_directory, store) = store();
    let (mut one, mut two) = (store.writer().unwrap(), store.writer().unwrap());
    one.write_all(b"same").unwrap();
    two.write_all(b"same").unwrap();
    assert_eq!(one.commit().unwrap(), two.commit().unwrap());
    assert_eq!(names_in(&store.root.writing), 0);
}

#[test]
fn opening_sweeps_what_nobody_writes_and_leaves_what_somebody_does() {
    let (_directory, store) = store();
    let mut live = store.writer().unwrap();
    live.append(b"live").unwrap();
    fs::write(store.root.writing.join("left-behind"), b"half").unwrap();
    ContentStore::open(store.root.ingest.parent().unwrap()).unwrap();
    assert_eq!(names_in(&store.root.writing), 1);
    let (digest, size) = live.commit().unwrap();
    assert_eq!((store.read(&digest, 4).unwrap(), size), (b"live".to_vec(), 4));
}

#[test]
fn only_beginnings_nobody_is_at_work_on_grow_stale() {
    let (_directory, store) = store();
    let mut kept = store.ingest(&Digest::of(b"kept"), None).unwrap();
    kept.write_at(0, b"ke").unwrap();
    let mut left = store.ingest(&Digest::of(b"left"), None).unwrap();
    left.write_at(0, b"lef").unwrap();
    drop(left);
    assert_eq!(store.remove_stale_beginnings(Duration::from_hours(1)).unwrap(), 0);
    assert_eq!(store.remove_stale_beginnings(Duration::ZERO).unwrap(), 3);
    assert_eq!(store.partial_size(&Digest::of(b"kept")), 2);
}

/// Run by [`killed_writer_leaves_whole_blobs_and_beginnings_only`] in a process of its own; does nothing by itself.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(root) = std::env::var("STAGEWRIGHT_CONTENT_KILL_TEST") else {
        return;
    };
    let store = ContentStore::open(root).unwrap();
    let block = vec![7; 1 << 16];
    for number in 0_u64.. {
        let whole: Vec<u8> = number.to_le_bytes().iter().chain(&block).copied().collect();
        if store.contains(&Digest::of(&whole)) {
            continue;
        }
        if number % 2 == 0 {
            store.put(&whole).unwrap();
        } else {
            let mut ingest = store
                .ingest(&Digest::of(&whole), Some(whole.len() as u64))
                .unwrap();
            for (index, piece) in whole.chunks(1000).enumerate() {
                ingest.write_at(index as u64 * 1000, piece).unwrap();
            }
            ingest.commit().unwrap();
        }
    }
}

#[test]
fn killed_writer_leaves_whole_blobs_and_beginnings_only() {
    let (_directory, store) = store();
    let root = store.root.ingest.parent().unwrap().to_owned();
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "content::tests::child_that_writes_until_it_is_killed"])
            .env("STAGEWRIGHT_CONTENT_KILL_TEST", &root)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Kill it once it has stored something, at no particular moment.
        while store.blobs().unwrap().len() <= round * 3 {
            assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
            std::thread::sleep(Duration::from_millis(7 + 3 * round as u64));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = ContentStore::open(&root).unwrap();
        for (digest, size) in store.blobs().unwrap() {
            assert_eq!(Digest::of(&store.read(&digest, size).unwrap()), digest);
        }
        assert_eq!(names_in(&store.root.writing), 0);
    }
}
