//! Gzip on every processor, with the same bytes on all of them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

/// Bytes in one gzip member. It is part of the format here: another value gives other digests.
const MEMBER: usize = 1 << 20;
/// gzip's own default, which is what other builders write.
const LEVEL: u32 = 6;

type Compressed = io::Result<Vec<u8>>;

struct Job {
    data: Vec<u8>,
    answer: SyncSender<Compressed>,
}

/// Compresses all of `input` into `output`, as gzip members of one mebibyte each, one after the other: RFC 1952 makes
/// of that one file, and each member is a job of its own. Returns digest and length of the input.
pub(super) fn gzip(input: &mut dyn Read, output: &mut dyn Write) -> io::Result<(Digest, u64)> {
    let threads = std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(16);
    let (jobs, queue) = sync_channel::<Job>(threads);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| compress_jobs(&queue));
        }
        let result = feed(input, output, &jobs, 2 * threads);
        // Without this, the threads would wait for more for ever.
        drop(jobs);
        result
    })
}

fn feed(
    input: &mut dyn Read,
    output: &mut dyn Write,
    jobs: &SyncSender<Job>,
    ahead: usize,
) -> io::Result<(Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut total = 0;
    let mut answers: VecDeque<Receiver<Compressed>> = VecDeque::new();
    loop {
        let mut data = Vec::with_capacity(MEMBER);
        input.take(MEMBER as u64).read_to_end(&mut data)?;
        let last = data.len() < MEMBER;
        hasher.update(&data);
        total += data.len() as u64;
        // Nothing at all is one empty member, since no bytes are no gzip file.
        if !data.is_empty() || total == 0 {
            let (answer, receiver) = sync_channel(1);
            jobs.send(Job { data, answer }).map_err(|_| gone())?;
            answers.push_back(receiver);
        }
        while answers.len() > if last { 0 } else { ahead } {
            let Some(receiver) = answers.pop_front() else {
                break;
            };
            output.write_all(&receiver.recv().map_err(|_| gone())??)?;
        }
        if last {
            return Ok((Digest::from_raw(hasher.finalize().as_slice()), total));
        }
    }
}

fn compress_jobs(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Nobody waits any more where the output failed.
        let _ = job.answer.send(member(&job.data));
    }
}

fn member(data: &[u8]) -> Compressed {
    let mut encoder: GzEncoder<Vec<u8>> = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(data)?;
    encoder.finish()
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses ended early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(data: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        let (digest, size) = gzip(&mut &*data, &mut compressed).unwrap();
        assert_eq!((digest, size), (Digest::of(data), data.len() as u64));
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(compressed.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert!(plain == data);
        compressed
    }

    #[test]
    fn what_was_compressed_comes_back_at_every_length_that_matters() {
        let data: Vec<u8> = (0..5 * MEMBER as u64 / 2)
            .map(|number| (number * number % 251) as u8)
            .collect();
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, data.len()] {
            round_trip(&data[..length]);
        }
    }

    #[test]
    fn same_bytes_give_the_same_file() {
        let data = b"deterministic ".repeat(200_000);
        assert_eq!(Digest::of(&round_trip(&data)), Digest::of(&round_trip(&data)));
    }

    #[test]
    fn failing_input_and_output_end_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(gzip(&mut Broken, &mut Vec::new()).is_err());
        assert!(gzip(&mut vec![7; 40 * MEMBER].as_slice(), &mut Broken).is_err());
    }
}
