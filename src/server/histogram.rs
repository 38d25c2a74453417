//! Durations, counted in buckets. Recording one is two additions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds for what a client waits for: up to the longest wait of the server.
pub(super) const SHORT: [Duration; 14] = [
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// The upper bounds for sessions: from a test to a day.
pub(super) const LONG: [Duration; 11] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// How many durations there were of each length.
#[derive(Debug)]
pub(super) struct Histogram {
    /// The inclusive upper bounds, in order; the last bucket has none.
    bounds: &'static [Duration],
    /// One more than bounds.
    counts: Box<[AtomicU64]>,
    /// The sum, in microseconds.
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, duration: Duration) {
        // Most are short, so the search begins at the shortest bound.
        let bucket = self.bounds.iter().position(|bound| duration <= *bound);
        let bucket = bucket.unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// The sum in seconds, and each bucket's upper bound in seconds with its count.
    pub(super) fn read(&self) -> (f64, Vec<(f64, u64)>) {
        let bounds = self.bounds.iter().map(Duration::as_secs_f64);
        let counts = self.counts.iter();
        let buckets = bounds
            .chain([f64::INFINITY])
            .zip(counts.map(|count| count.load(Ordering::Relaxed)));
        let sum = Duration::from_micros(self.sum.load(Ordering::Relaxed));
        (sum.as_secs_f64(), buckets.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&SHORT);
        for micros in [0, 999, 1000, 1001, 2500, 30_000_000, 30_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let (sum, buckets) = histogram.read();
        assert_eq!(sum, 60.005_501);
        let filled: Vec<_> = buckets.iter().filter(|(_, count)| *count > 0).collect();
        let want = [&(0.001, 3), &(0.0025, 2), &(30.0, 1), &(f64::INFINITY, 1)];
        assert_eq!(filled, want);
        assert_eq!(buckets.len(), SHORT.len() + 1);
    }

    #[test]
    fn the_bounds_are_in_order() {
        assert!(SHORT.is_sorted() && LONG.is_sorted());
    }
}
