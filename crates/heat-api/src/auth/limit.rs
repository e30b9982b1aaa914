//! Limits on how often somebody may ask: a bucket a user, and one for wrong tokens an address.

use std::{
    collections::BTreeMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Buckets kept of one kind; full ones are forgotten first.
const BUCKETS_MAX: usize = 16_384;

/// A limit: `burst` at once, then `per_second`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Buckets by key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    rate: Rate,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord + Hash + Clone> Limiter<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes one from the key's bucket; false if it is empty.
    pub(crate) fn take(&self, key: &K, now: Instant) -> bool {
        let Rate { per_second, burst } = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = |bucket: &Bucket| {
            (bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * per_second).min(burst)
        };
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| filled(bucket) < burst);
            // Whoever fills the table with addresses of his own shares one fate with the others of this moment.
            if buckets.len() >= BUCKETS_MAX {
                buckets.pop_first();
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { tokens: burst, at: now });
        let tokens = filled(bucket);
        let has = tokens >= 1.0;
        *bucket = Bucket { tokens: if has { tokens - 1.0 } else { tokens }, at: now };
        has
    }
}

/// What counts as one place on the net: an address, or an IPv6 network of 64 bits.
pub(crate) fn origin_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use heat_runtime::Clock;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate_and_no_key_takes_from_another() {
        let limiter = Limiter::new(Rate { per_second: 2.0, burst: 3.0 });
        let now = Clock.instant();
        let taken = (0..5).filter(|_| limiter.take(&"a", now)).count();
        assert_eq!(taken, 3);
        assert!(limiter.take(&"b", now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| limiter.take(&"a", later)).count(), 2);
    }

    #[test]
    fn full_buckets_make_room_and_the_table_stays_bounded() {
        let limiter = Limiter::new(Rate { per_second: 1.0, burst: 1.0 });
        let now = Clock.instant();
        for key in 0..BUCKETS_MAX + 10 {
            assert!(limiter.take(&key, now));
        }
        assert!(limiter.buckets.lock().unwrap().len() <= BUCKETS_MAX);
    }

    #[test]
    fn an_ipv6_network_is_one_origin() {
        let origin = |text: &str| origin_of(text.parse().unwrap());
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::2"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    }
}
