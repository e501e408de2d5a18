//! Compression on every processor, with the same bytes on all of them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

use super::Encoding;

/// Bytes in one gzip member. It is part of the format here: another value gives other digests.
const MEMBER: usize = 1 << 20;

type Compressed = io::Result<Vec<u8>>;

struct Job {
    data: Vec<u8>,
    answer: SyncSender<Compressed>,
}

/// Writes what `fill` writes to `output`, encoded. Gives what `fill` gave, once all of it is written.
pub(super) fn encode<T>(
    encoding: Encoding,
    output: &mut dyn Write,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> io::Result<T> {
    match encoding {
        Encoding::Gzip(level) => gzip(level, output, fill),
        Encoding::Zstd(level) => zstd(level, output, fill),
        Encoding::Plain => fill(output),
    }
}

fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(16)
}

fn zstd<T>(
    level: u8,
    output: &mut dyn Write,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> io::Result<T> {
    let mut encoder = zstd::Encoder::new(output, i32::from(level))?;
    // With workers at all, even one, the bytes do not depend on how many; without, they are others.
    encoder.multithread(u32::try_from(threads()).unwrap_or(1))?;
    let given = fill(&mut encoder)?;
    encoder.finish()?.flush()?;
    Ok(given)
}

/// Members of one mebibyte each, one after the other: RFC 1952 makes of that one file, and each member is a job of its
/// own.
fn gzip<T>(
    level: u8,
    output: &mut dyn Write,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> io::Result<T> {
    let threads = threads();
    let (jobs, queue) = sync_channel::<Job>(threads);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| compress_jobs(&queue, level));
        }
        let mut members = Members {
            output,
            jobs,
            answers: VecDeque::new(),
            ahead: 2 * threads,
            pending: Vec::with_capacity(MEMBER),
            begun: false,
        };
        // Where this fails, dropping the jobs ends the threads, which would wait for more for ever.
        let given = fill(&mut members)?;
        members.finish()?;
        Ok(given)
    })
}

/// What is written to it is cut into members.
struct Members<'o> {
    output: &'o mut dyn Write,
    jobs: SyncSender<Job>,
    answers: VecDeque<Receiver<Compressed>>,
    /// How many members may be under way.
    ahead: usize,
    pending: Vec<u8>,
    begun: bool,
}

impl Members<'_> {
    fn hand_over(&mut self) -> io::Result<()> {
        let data = std::mem::replace(&mut self.pending, Vec::with_capacity(MEMBER));
        let (answer, receiver) = sync_channel(1);
        self.jobs.send(Job { data, answer }).map_err(|_| gone())?;
        self.answers.push_back(receiver);
        self.begun = true;
        self.collect(self.ahead)
    }

    /// Writes members in their order until no more than `left` are under way.
    fn collect(&mut self, left: usize) -> io::Result<()> {
        while self.answers.len() > left {
            let Some(receiver) = self.answers.pop_front() else {
                break;
            };
            self.output.write_all(&receiver.recv().map_err(|_| gone())??)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        // Nothing at all is one empty member, since no bytes are no gzip file.
        if !self.pending.is_empty() || !self.begun {
            self.hand_over()?;
        }
        self.collect(0)?;
        self.output.flush()
    }
}

impl Write for Members<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MEMBER - self.pending.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.pending.extend_from_slice(taken);
        if self.pending.len() == MEMBER {
            self.hand_over()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn compress_jobs(queue: &Mutex<Receiver<Job>>, level: u8) {
    let level = CompressionLvl::new(i32::from(level)).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Nobody waits any more where the output failed.
        let _ = job.answer.send(member(&mut compressor, &job.data));
    }
}

fn member(compressor: &mut Compressor, data: &[u8]) -> Compressed {
    let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
    let length = compressor
        .gzip_compress(data, &mut out)
        .map_err(|error| io::Error::other(error.to_string()))?;
    out.truncate(length);
    Ok(out)
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses ended early")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use stagewright_core::digest::Digest;

    use super::*;

    const ALL: [Encoding; 5] = [
        Encoding::Gzip(6),
        Encoding::Gzip(0),
        Encoding::Gzip(9),
        Encoding::Zstd(2),
        Encoding::Plain,
    ];

    fn round_trip(encoding: Encoding, data: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        encode(encoding, &mut compressed, |out| {
            // In pieces that fit nothing.
            data.chunks(70_001).try_for_each(|piece| out.write_all(piece))
        })
        .unwrap();
        let mut plain = Vec::new();
        match encoding {
            Encoding::Gzip(_) => {
                let mut decoder = flate2::read::MultiGzDecoder::new(compressed.as_slice());
                decoder.read_to_end(&mut plain).unwrap();
            }
            Encoding::Zstd(_) => plain = zstd::decode_all(compressed.as_slice()).unwrap(),
            Encoding::Plain => plain.clone_from(&compressed),
        }
        assert!(plain == data, "{encoding:?} of {} bytes", data.len());
        compressed
    }

    #[test]
    fn what_was_compressed_comes_back_at_every_length_that_matters() {
        let data: Vec<u8> = (0..5 * MEMBER as u64 / 2)
            .map(|number| (number * number % 251) as u8)
            .collect();
        for encoding in ALL {
            for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, data.len()] {
                round_trip(encoding, &data[..length]);
            }
        }
    }

    #[test]
    fn same_bytes_give_the_same_file() {
        let data = b"deterministic ".repeat(200_000);
        for encoding in ALL {
            let digest = || Digest::of(&round_trip(encoding, &data));
            assert_eq!(digest(), digest(), "{encoding:?}");
        }
    }

    /// Other bytes make a layer that is known nowhere, and blobs of another encoding under the name of this one: who changes these
    /// digests gives the encoding another folder too.
    #[test]
    fn bytes_of_each_encoding_do_not_change_unnoticed() {
        let data: Vec<u8> = (0..3_000_000_u64)
            .map(|number| (((number * number) >> (number % 7)) & 255) as u8)
            .collect();
        let digests = ALL.map(|encoding| Digest::of(&round_trip(encoding, &data)).hex().to_owned());
        assert_eq!(
            digests,
            [
                "1a04eddd1a03e73813bd9d801dae27c1c5af66d8341396d2717ae4409ca098c0",
                "af9d4b689f37e24d1d97a748a3a4972bc5825693800d2af51fbc6a50aa531cce",
                "e06783b1f5df03733d4f0d5652a63f72325655ded4ebb1bbb635b4a8a7dfbb24",
                "855acd5b18f98a424b7481fd87eb33776f49c842bfb4fbea9ccad80c0c088d31",
                "1118c812b13c2628f0f57402fcd7484ebbdcfafee93c2d31dc4aaa38d24cac30"
            ]
        );
    }

    #[test]
    fn level_decides_the_size() {
        let data: Vec<u8> = (0..2_000_000_u32)
            .flat_map(|number| {
                (number.wrapping_mul(2_654_435_761) >> 20)
                    .to_string()
                    .into_bytes()
            })
            .collect();
        let size = |encoding| round_trip(encoding, &data).len();
        assert!(size(Encoding::Gzip(9)) < size(Encoding::Gzip(1)));
        assert!(size(Encoding::Gzip(1)) < size(Encoding::Gzip(0)));
        assert!(size(Encoding::Zstd(12)) < size(Encoding::Zstd(1)));
    }

    #[test]
    fn failing_input_and_output_end_it() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for encoding in ALL {
            let input = encode(encoding, &mut Vec::new(), |out| {
                out.write_all(&vec![7; 3 * MEMBER])?;
                Err::<(), _>(io::Error::other("broken"))
            });
            assert!(input.is_err(), "{encoding:?}");
            let output = encode(encoding, &mut Broken, |out| out.write_all(&vec![7; 40 * MEMBER]));
            assert!(output.is_err(), "{encoding:?}");
        }
    }
}
