//! Reading ahead: what comes next is read, and checked or unpacked by whoever reads, while what came before is written.

use std::io::{self, Read};
use std::sync::mpsc::sync_channel;

/// Bytes that are handed over at once.
const PIECE: usize = 1 << 20;

/// How many pieces may wait to be written.
const AHEAD: usize = 2;

/// Gives `take` all that `content` holds, in order, and says how many bytes that were.
///
/// # Errors
/// The first of either, which ends it.
pub(super) fn pieces(
    content: &mut (dyn Read + Send),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut first = vec![0; PIECE];
    let read = fill(content, &mut first)?;
    take(first.get(..read).unwrap_or_default())?;
    let mut count = read as u64;
    if read < PIECE {
        // So little is not worth a thread.
        return Ok(count);
    }
    std::thread::scope(|scope| {
        let (filled, pieces) = sync_channel(AHEAD);
        let (emptied, spare) = sync_channel(AHEAD + 1);
        _ = emptied.try_send(first);
        scope.spawn(move || {
            loop {
                let mut piece: Vec<u8> = spare.try_recv().unwrap_or_else(|_| vec![0; PIECE]);
                let read = fill(content, &mut piece);
                let is_last = !matches!(read, Ok(PIECE));
                // Where nobody takes it, the output has failed.
                if filled.send(read.map(|read| (piece, read))).is_err() || is_last {
                    return;
                }
            }
        });
        for piece in pieces {
            let (piece, read) = piece?;
            take(piece.get(..read).unwrap_or_default())?;
            count += read as u64;
            _ = emptied.try_send(piece);
        }
        Ok(count)
    })
}

/// Reads until the buffer is full or there is no more.
fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(room) = buffer.get_mut(count..).filter(|room| !room.is_empty()) {
        match content.read(room) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_arrives_in_order_at_every_length_that_matters() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 7 * PIECE + 3] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut taken = Vec::new();
            // In pieces that fit nothing.
            let mut from = content
                .chunks(70_001)
                .fold(Box::new(io::empty()) as Box<dyn Read + Send>, |before, piece| {
                    Box::new(before.chain(piece))
                });
            let count = pieces(&mut from, |piece| {
                taken.extend_from_slice(piece);
                Ok(())
            });
            assert_eq!(count.unwrap(), length as u64);
            assert!(taken == content, "{length}");
        }
    }

    #[test]
    fn what_fails_ends_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        for before in [0, 5 * PIECE as u64] {
            let failed = pieces(&mut io::repeat(1).take(before).chain(Broken), |_| Ok(()));
            assert_eq!(failed.unwrap_err().to_string(), "broken");
        }
        for most in [0, 4] {
            let mut taken = 0;
            // Without end, so that it ends only if it is ended.
            let failed = pieces(&mut io::repeat(1), |_| {
                taken += 1;
                if taken > most {
                    Err(io::Error::other("full"))
                } else {
                    Ok(())
                }
            });
            assert_eq!(failed.unwrap_err().to_string(), "full");
        }
    }
}
