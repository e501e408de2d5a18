//! Sparse files: what is between the places that have content.

use std::collections::VecDeque;
use std::io;

/// A place in a file: its first byte, and how many bytes there are.
type Place = (u64, u64);

/// Where a sparse file has content and where holes, and how far it was read.
#[derive(Debug)]
pub(super) struct Holes {
    /// What is left of the places that have content, in order.
    content: VecDeque<Place>,
    at: u64,
    size: u64,
}

impl Holes {
    /// A file of `size` bytes that has content in the places of `map`, of which the archive holds `stored` bytes.
    /// `None` where the numbers cannot be.
    pub(super) fn new(map: &[(Option<i64>, Option<i64>)], stored: u64, size: Option<u64>) -> Option<Self> {
        let size = size?;
        let mut content = VecDeque::new();
        let (mut end, mut sum) = (0_u64, 0_u64);
        for (offset, length) in map {
            let offset = u64::try_from((*offset)?).ok()?;
            let length = u64::try_from((*length)?).ok()?;
            if offset < end {
                return None;
            }
            end = offset.checked_add(length)?;
            sum = sum.checked_add(length)?;
            if length > 0 {
                content.push_back((offset, length));
            }
        }
        (end <= size && sum == stored).then_some(Self { content, at: 0, size })
    }

    /// How many bytes there are, holes included.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes: of `stored` where there is content, zeros where there is none.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        stored: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let most = buffer.len();
        let next = self.content.front_mut();
        let until = next.as_ref().map_or(self.size, |(offset, _)| *offset);
        let space = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(most);
        if self.at < until {
            let hole = space(until - self.at);
            buffer.get_mut(..hole).unwrap_or_default().fill(0);
            self.at += hole as u64;
            return Ok(hole);
        }
        let Some((offset, length)) = next else {
            return Ok(0);
        };
        let wanted = space(*length);
        let read = stored(buffer.get_mut(..wanted).unwrap_or_default())?;
        (self.at, *offset, *length) = (
            self.at + read as u64,
            *offset + read as u64,
            *length - read as u64,
        );
        if *length == 0 {
            self.content.pop_front();
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(places: &[(i64, i64)]) -> Vec<(Option<i64>, Option<i64>)> {
        places
            .iter()
            .map(|(offset, length)| (Some(*offset), Some(*length)))
            .collect()
    }

    #[test]
    fn holes_are_zeros_and_content_stands_in_its_place() {
        let mut holes = Holes::new(&map(&[(2, 3), (7, 1), (9, 0)]), 4, Some(10)).unwrap();
        let mut stored: &[u8] = b"abcd";
        let mut all = Vec::new();
        loop {
            let mut buffer = [9; 2];
            let read = holes
                .read(&mut buffer, |buffer| io::Read::read(&mut stored, buffer))
                .unwrap();
            if read == 0 {
                break;
            }
            all.extend_from_slice(&buffer[..read]);
        }
        assert_eq!(all, b"\0\0abc\0\0d\0\0");
    }

    #[test]
    fn maps_that_cannot_be_are_refused() {
        for (places, stored, size) in [
            (vec![(0, 3), (2, 1)], 4, 10),
            (vec![(0, 3)], 4, 10),
            (vec![(8, 3)], 3, 10),
            (vec![(-1, 3)], 3, 10),
            (vec![(i64::MAX, i64::MAX), (i64::MAX, i64::MAX)], 3, u64::MAX),
        ] {
            assert!(
                Holes::new(&map(&places), stored, Some(size)).is_none(),
                "{places:?}"
            );
        }
        assert!(Holes::new(&[(None, Some(1))], 1, Some(1)).is_none());
        assert!(Holes::new(&[], 0, None).is_none());
    }
}
