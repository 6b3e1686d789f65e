//! The read cache: answers of queries that asked for it, until their time is over or a table they read
//! was written through this engine. A write of somebody else is noticed when the time is over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_model::Value;
use parking_lot::Mutex;

use crate::compile::{Parameter, Statement};
use crate::context::Access;
use crate::limits::{CACHE_ANSWER_BYTES_MAX, CACHE_ENTRIES_MAX};

/// Answers by statement, parameters and claims.
#[derive(Default)]
pub(crate) struct ReadCache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// Keys in the order in which they came; the oldest goes when there is no room.
    order: VecDeque<Key>,
    /// How often each table was written.
    writes: HashMap<Arc<str>, u64>,
}

/// What an answer depends on. The statement and its parameters already hold the tenant and the role's
/// conditions; the claims count because policies inside PostgreSQL may read them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(Arc<str>);

struct Entry {
    rows: Value,
    affected: u64,
    cursor: Option<String>,
    stored_at: Instant,
    seen: Vec<(Arc<str>, u64)>,
}

/// The state of the tables that an answer reads, taken before it is read.
pub(crate) struct Seen(Vec<(Arc<str>, u64)>);

/// What is kept of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub rows: Value,
    pub affected: u64,
    pub cursor: Option<String>,
}

impl Key {
    pub(crate) fn new(statement: &Statement, access: &Access) -> Self {
        use std::fmt::Write as _;
        let mut text = statement.sql.clone();
        for parameter in &statement.parameters {
            // Writing to a String cannot fail.
            let _ = match parameter {
                Parameter::Text(value) => write!(text, "\u{1}{}:{value}", value.len()),
                Parameter::Null
                | Parameter::Bool(_)
                | Parameter::Integer(_)
                | Parameter::Real(_)
                | Parameter::Texts(_) => write!(text, "\u{1}{parameter:?}"),
            };
        }
        match access {
            Access::Service => text.push('\u{2}'),
            Access::Claims(claims) => {
                text.push('\u{3}');
                text.push_str(&claims.to_json());
            }
        }
        Self(text.into())
    }
}

impl ReadCache {
    /// An answer that is at most `ttl` old and whose tables were not written since.
    pub(crate) fn get(&self, key: &Key, ttl: Duration, now: Instant) -> Option<Kept> {
        let mut inner = self.inner.lock();
        let entry = inner.entries.get(key)?;
        let is_fresh = now.saturating_duration_since(entry.stored_at) <= ttl
            && entry.seen.iter().all(|(table, writes)| inner.writes_of(table) == *writes);
        if !is_fresh {
            inner.entries.remove(key);
            return None;
        }
        Some(Kept { rows: entry.rows.clone(), affected: entry.affected, cursor: entry.cursor.clone() })
    }

    /// The state of these tables now.
    pub(crate) fn look(&self, tables: Vec<Arc<str>>) -> Seen {
        let inner = self.inner.lock();
        Seen(tables.into_iter().map(|table| (Arc::clone(&table), inner.writes_of(&table))).collect())
    }

    /// Keeps an answer that was read after `seen` was taken.
    pub(crate) fn put(&self, key: Key, kept: Kept, seen: Seen, now: Instant) {
        if kept.rows.weight(CACHE_ANSWER_BYTES_MAX) > CACHE_ANSWER_BYTES_MAX {
            return;
        }
        let mut inner = self.inner.lock();
        let Kept { rows, affected, cursor } = kept;
        let entry = Entry { rows, affected, cursor, stored_at: now, seen: seen.0 };
        if inner.entries.insert(key.clone(), entry).is_none() {
            inner.order.push_back(key);
        }
        while inner.order.len() > CACHE_ENTRIES_MAX {
            if let Some(oldest) = inner.order.pop_front() {
                inner.entries.remove(&oldest);
            }
        }
    }

    /// These tables were written; answers that read them are over.
    pub(crate) fn written<'a>(&self, tables: impl IntoIterator<Item = &'a Arc<str>>) {
        let mut inner = self.inner.lock();
        for table in tables {
            *inner.writes.entry(Arc::clone(table)).or_insert(0) += 1;
        }
    }

    /// Every answer is over: the schema changed.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.entries.clear();
        inner.order.clear();
    }
}

impl Inner {
    fn writes_of(&self, table: &Arc<str>) -> u64 {
        self.writes.get(table).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Claims;

    fn key(text: &str, access: &Access) -> Key {
        let parameters = vec![Parameter::Text(Arc::from(text))];
        Key::new(&Statement { sql: "SELECT ?1".to_owned(), parameters, outputs: Vec::new() }, access)
    }

    fn kept(number: i64) -> Kept {
        Kept { rows: Value::from(number), affected: 1, cursor: None }
    }

    #[test]
    fn answers_end_with_their_time_and_with_a_write() {
        let (cache, now) = (ReadCache::default(), Instant::now());
        let (ttl, orders) = (Duration::from_secs(5), Arc::<str>::from("orders"));
        let key = key("a", &Access::Service);
        let seen = cache.look(vec![Arc::clone(&orders)]);
        cache.put(key.clone(), kept(1), seen, now);
        assert_eq!(cache.get(&key, ttl, now + ttl), Some(kept(1)));
        assert_eq!(cache.get(&key, ttl, now + ttl * 2), None);
        let seen = cache.look(vec![Arc::clone(&orders)]);
        cache.written([&orders]);
        cache.put(key.clone(), kept(2), seen, now);
        assert_eq!(cache.get(&key, ttl, now), None, "it was read before the write");
        cache.put(key.clone(), kept(3), cache.look(vec![orders]), now);
        assert_eq!(cache.get(&key, ttl, now), Some(kept(3)));
    }

    #[test]
    fn callers_do_not_share_answers() {
        let claims = |tenant: &str| Access::Claims(Claims::new(Value::object([("tenant", tenant.into())])));
        assert!(key("a", &claims("x")) != key("a", &claims("y")));
        assert!(key("a", &claims("x")) != key("a", &Access::Service));
        assert!(key("a", &claims("x")) != key("b", &claims("x")));
    }

    #[test]
    fn room_is_bounded_and_large_answers_are_not_kept() {
        let (cache, now) = (ReadCache::default(), Instant::now());
        for number in 0..=CACHE_ENTRIES_MAX {
            cache.put(key(&number.to_string(), &Access::Service), kept(0), Seen(Vec::new()), now);
        }
        assert_eq!(cache.get(&key("0", &Access::Service), Duration::MAX, now), None);
        assert!(cache.get(&key("1", &Access::Service), Duration::MAX, now).is_some());
        let large = Kept { rows: Value::from("x".repeat(2 << 20)), ..kept(0) };
        cache.put(key("large", &Access::Service), large, Seen(Vec::new()), now);
        assert_eq!(cache.get(&key("large", &Access::Service), Duration::MAX, now), None);
    }
}
