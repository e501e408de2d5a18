//! Pieces that arrive one by one, read as one by somebody who blocks.

use std::io::{self, Read};

use tokio::sync::mpsc;

/// What arrives.
pub(in super::super) enum Piece {
    Data(Vec<u8>),
    /// There is no more.
    End,
}

/// All pieces in a row. An end that was not said is an error: what came may be half of it.
pub(in super::super) struct Pieces {
    arriving: mpsc::Receiver<Piece>,
    piece: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Pieces {
    /// Pieces, and where they are handed in.
    pub(in super::super) fn fed() -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(16);
        (sender, Self::new(receiver))
    }

    fn new(arriving: mpsc::Receiver<Piece>) -> Self {
        Self {
            arriving,
            piece: Vec::new(),
            read: 0,
            ended: false,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            match self.arriving.blocking_recv() {
                Some(Piece::Data(piece)) => (self.piece, self.read) = (piece, 0),
                Some(Piece::End) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the connection ended before all had come",
                    ));
                }
            }
        }
        let rest = self.piece.get(self.read..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one_and_a_missing_end_is_noticed() {
        for (ends, whole) in [(true, true), (false, false)] {
            let (sender, receiver) = mpsc::channel(8);
            for piece in ["on", "", "e two"] {
                sender.try_send(Piece::Data(piece.into())).unwrap_or_default();
            }
            if ends {
                sender.try_send(Piece::End).unwrap_or_default();
            }
            drop(sender);
            let mut text = String::new();
            let read = Pieces::new(receiver).read_to_string(&mut text);
            assert_eq!(read.is_ok(), whole);
            assert_eq!(text, "one two", "what came is given all the same");
        }
    }
}
