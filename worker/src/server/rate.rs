//! How often somebody may ask.
//!
//! Everyone has a bucket of so many requests, which fills up again with time. What is kept of a bucket is the moment at
//! which it will be full.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are kept at most; a stranger with many addresses does not fill the memory.
const MOST: usize = 4096;

/// How many requests at once, and how many in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests that may come at once.
    pub burst: u32,
    /// Requests a second from then on.
    pub per_second: u32,
}

impl Rate {
    /// So many a second, and twice as many at once.
    pub fn per_second(per_second: u32) -> Self {
        Self {
            burst: per_second.saturating_mul(2),
            per_second,
        }
    }

    /// What one request costs.
    fn each(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

/// The buckets of everyone who asked lately.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    full_at: Mutex<BTreeMap<K, Instant>>,
}

impl<K: Ord + Clone> Buckets<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: Mutex::default(),
        }
    }

    /// Takes a request out of somebody's bucket; where it is empty, says how long to wait.
    pub(super) fn take(&self, who: &K) -> Result<(), Duration> {
        self.take_at(who, Instant::now())
    }

    fn take_at(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let each = self.rate.each();
        let room = each * self.rate.burst.max(1);
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(who).copied().unwrap_or(now).max(now) + each;
        let missing = full_at.duration_since(now);
        if let Some(wait) = missing.checked_sub(room).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if !buckets.contains_key(who) && buckets.len() >= MOST {
            buckets.retain(|_, full_at| *full_at > now);
            // Where all are at work, the one that is nearest to full loses least.
            if buckets.len() >= MOST
                && let Some(nearest) = buckets
                    .iter()
                    .min_by_key(|(_, full_at)| **full_at)
                    .map(|(who, _)| who.clone())
            {
                buckets.remove(&nearest);
            }
        }
        buckets.insert(who.clone(), full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again_for_each_by_itself() {
        let buckets = Buckets::new(Rate {
            burst: 3,
            per_second: 10,
        });
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take_at(&1, now), Ok(()));
        }
        assert_eq!(buckets.take_at(&1, now), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take_at(&2, now), Ok(()));
        let later = now + Duration::from_millis(100);
        assert_eq!(buckets.take_at(&1, later), Ok(()));
        assert!(buckets.take_at(&1, later).is_err());
        let much_later = now + Duration::from_hours(1);
        for _ in 0..3 {
            assert_eq!(buckets.take_at(&1, much_later), Ok(()));
        }
        assert!(buckets.take_at(&1, much_later).is_err());
    }

    #[test]
    fn many_strangers_take_no_more_memory_than_a_few_thousand() {
        let buckets = Buckets::new(Rate {
            burst: 1,
            per_second: 1,
        });
        let now = Instant::now();
        for who in 0..10_000 {
            assert_eq!(buckets.take_at(&who, now), Ok(()));
        }
        assert_eq!(buckets.full_at.lock().unwrap().len(), MOST);
    }
}
