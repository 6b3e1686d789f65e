//! How hostile the world of one seed is. Drawn once per run, so that some seeds are calm, some have
//! one kind of fault only, and some have all of them.

use fastrand::Rng;

/// Rates per thousand, unless a name says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// Crashes per ten thousand await points.
    pub(crate) crash: u32,
    /// Crashes of one run, so that it ends.
    pub(crate) crashes_left: u32,
    /// Batches that are not written, and say so.
    pub(crate) commit_fails: u32,
    /// Batches that are written, but whose answer is lost.
    pub(crate) commit_lost: u32,
    /// Longest time that a batch takes, in milliseconds.
    pub(crate) commit_ms_max: u64,
    /// Deliveries that come twice.
    pub(crate) duplicate: u32,
    /// Deliveries that come late.
    pub(crate) late: u32,
    /// Longest delay of such a delivery, in milliseconds.
    pub(crate) late_ms_max: u64,
    /// Jumps of the wall clock.
    pub(crate) jumps: u32,
    /// Attempts that fail but may be tried again.
    pub(crate) retryable: u32,
    /// Attempts that fail for good.
    pub(crate) permanent: u32,
    /// Attempts that never answer.
    pub(crate) never: u32,
    /// Waiting executions that the driver forgets once they are durable.
    pub(crate) evict: u32,
    /// Whether pure tasks take their time.
    pub(crate) slow_pure: bool,
    /// Bytes after which a journal is too large.
    pub(crate) journal_bytes_max: u64,
    /// How often somebody outside does something, in all.
    pub(crate) visits: u32,
}

impl Weather {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let storm = rng.u32(..100) < 30;
        let mut rate = |rates: [u32; 4]| rates[if storm { 1 + rng.usize(..3) } else { rng.usize(..4) }];
        Self {
            crash: rate([0, 40, 100, 300]),
            crashes_left: rate([0, 3, 6, 10]),
            commit_fails: rate([0, 5, 20, 80]),
            commit_lost: rate([0, 5, 20, 80]),
            commit_ms_max: u64::from(rate([1, 4, 40, 800])),
            duplicate: rate([0, 50, 150, 400]),
            late: rate([0, 20, 100, 300]),
            late_ms_max: u64::from(rate([20, 200, 2_000, 8_000])),
            jumps: rate([0, 0, 1, 3]),
            retryable: rate([0, 80, 200, 350]),
            permanent: rate([0, 10, 40, 120]),
            never: rate([0, 5, 20, 60]),
            evict: rate([0, 300, 700, 1_000]),
            slow_pure: rate([0, 0, 1, 1]) == 1,
            journal_bytes_max: u64::from(rate([u32::MAX, u32::MAX, 60_000, 8_000])),
            visits: rate([4, 10, 20, 40]),
        }
    }

    /// Nothing goes wrong any more, so that the run can come to its end.
    pub(crate) fn calm(&mut self) {
        self.crash = 0;
        self.commit_fails = 0;
        self.commit_lost = 0;
        self.duplicate = 0;
        self.late = 0;
        self.never = 0;
        self.visits = 0;
    }
}

/// Whether something of this rate per thousand happens.
pub(crate) fn hits(rng: &mut Rng, per_mille: u32) -> bool {
    per_mille > 0 && rng.u32(..1_000) < per_mille
}
