//! How values of the model are written into columns and read back.

use std::fmt::Display;

use flux_model::flow::Overflow;
use flux_model::review::ReviewStatus;
use flux_model::{ErrorCode, ExecutionKind, ExecutionStatus, OrganizationId, ProjectId, Tenant, Timestamp};
use flux_store::TimerName;
use rusqlite::Row;
use rusqlite::types::{FromSql, Type};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An id as it is stored.
pub(crate) type Id = [u8; 16];

/// A tenant's project as it is stored.
pub(crate) fn project(tenant: Tenant) -> Id {
    tenant.project.bits().to_be_bytes()
}

/// A tenant's organization as it is stored.
pub(crate) fn organization(tenant: Tenant) -> Id {
    tenant.organization.bits().to_be_bytes()
}

pub(crate) const STATUSES: [ExecutionStatus; 6] = [
    ExecutionStatus::Queued,
    ExecutionStatus::Running,
    ExecutionStatus::Waiting,
    ExecutionStatus::Succeeded,
    ExecutionStatus::Failed,
    ExecutionStatus::Cancelled,
];

pub(crate) const KINDS: [ExecutionKind; 3] =
    [ExecutionKind::Flow, ExecutionKind::Function, ExecutionKind::Captured];

pub(crate) const REVIEW_STATUSES: [ReviewStatus; 6] = [
    ReviewStatus::Pending,
    ReviewStatus::Approved,
    ReviewStatus::Rejected,
    ReviewStatus::Revised,
    ReviewStatus::Expired,
    ReviewStatus::Withdrawn,
];

const OVERFLOWS: [Overflow; 3] = [Overflow::Queue, Overflow::Drop, Overflow::CancelOldest];

/// The number of a status. Indexes and queries rely on: open ones are 0 to 2.
pub(crate) const fn status(status: ExecutionStatus) -> i64 {
    match status {
        ExecutionStatus::Queued => 0,
        ExecutionStatus::Running => 1,
        ExecutionStatus::Waiting => 2,
        ExecutionStatus::Succeeded => 3,
        ExecutionStatus::Failed => 4,
        ExecutionStatus::Cancelled => 5,
    }
}

pub(crate) const fn kind(kind: ExecutionKind) -> i64 {
    match kind {
        ExecutionKind::Flow => 0,
        ExecutionKind::Function => 1,
        ExecutionKind::Captured => 2,
    }
}

pub(crate) const fn review_status(status: ReviewStatus) -> i64 {
    match status {
        ReviewStatus::Pending => 0,
        ReviewStatus::Approved => 1,
        ReviewStatus::Rejected => 2,
        ReviewStatus::Revised => 3,
        ReviewStatus::Expired => 4,
        ReviewStatus::Withdrawn => 5,
    }
}

pub(crate) const fn overflow(overflow: Overflow) -> i64 {
    match overflow {
        Overflow::Queue => 0,
        Overflow::Drop => 1,
        Overflow::CancelOldest => 2,
    }
}

/// Numbers that are never near the limit in practice; held to it so that nothing wraps.
pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Milliseconds that an id's first 48 bits can hold.
const ID_MILLIS_MAX: i64 = (1 << 48) - 1;
const ID_MILLIS_SHIFT: u32 = 80;

/// The smallest id made at `at` or later; `None` if no id can be.
pub(crate) fn first_id_since(at: Timestamp) -> Option<u128> {
    let millis = at.millis().max(0);
    (millis <= ID_MILLIS_MAX).then(|| u128::from(millis.unsigned_abs()) << ID_MILLIS_SHIFT)
}

/// The largest id made before `at`; `None` if no id can be.
pub(crate) fn last_id_before(at: Timestamp) -> Option<u128> {
    first_id_since(at).map_or(Some(u128::MAX), |first| first.checked_sub(1))
}

pub(crate) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Reads the columns of a row from left to right.
pub(crate) struct Columns<'a, 'row> {
    row: &'a Row<'row>,
    next: usize,
}

impl<'a, 'row> Columns<'a, 'row> {
    pub(crate) const fn of(row: &'a Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn get<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        self.row.get(column)
    }

    pub(crate) fn bits(&mut self) -> rusqlite::Result<u128> {
        self.get::<Id>().map(u128::from_be_bytes)
    }

    pub(crate) fn tenant(&mut self) -> rusqlite::Result<Tenant> {
        Ok(Tenant {
            organization: OrganizationId::from_bits(self.bits()?),
            project: ProjectId::from_bits(self.bits()?),
        })
    }

    pub(crate) fn time(&mut self) -> rusqlite::Result<Timestamp> {
        self.get().map(Timestamp::from_millis)
    }

    pub(crate) fn time_option(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// A number that is never negative.
    pub(crate) fn count<T: TryFrom<i64>>(&mut self) -> rusqlite::Result<T> {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|_| self.unreadable(number))
    }

    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        let text: String = self.get()?;
        serde_json::from_str(&text).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn json_option<T: DeserializeOwned>(&mut self) -> rusqlite::Result<Option<T>> {
        let text: Option<String> = self.get()?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| self.unreadable(error))
    }

    pub(crate) fn status(&mut self) -> rusqlite::Result<ExecutionStatus> {
        self.pick(&STATUSES)
    }

    pub(crate) fn kind(&mut self) -> rusqlite::Result<ExecutionKind> {
        self.pick(&KINDS)
    }

    pub(crate) fn review_status(&mut self) -> rusqlite::Result<ReviewStatus> {
        self.pick(&REVIEW_STATUSES)
    }

    pub(crate) fn overflow(&mut self) -> rusqlite::Result<Option<Overflow>> {
        let Some(number) = self.get::<Option<i64>>()? else { return Ok(None) };
        let known = OVERFLOWS.into_iter().find(|known| overflow(*known) == number);
        known.map(Some).ok_or_else(|| self.unreadable(number))
    }

    pub(crate) fn error_code(&mut self) -> rusqlite::Result<Option<ErrorCode>> {
        let Some(text) = self.get::<Option<String>>()? else { return Ok(None) };
        let known = ErrorCode::ALL.iter().copied().find(|code| code.as_str() == text);
        known.map(Some).ok_or_else(|| self.unreadable(text))
    }

    pub(crate) fn timer_name(&mut self) -> rusqlite::Result<TimerName> {
        let text: String = self.get()?;
        TimerName::decode(&text).ok_or_else(|| self.unreadable(text))
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> rusqlite::Result<T> {
        let number: i64 = self.get()?;
        let value = usize::try_from(number).ok().and_then(|index| values.get(index));
        value.copied().ok_or_else(|| self.unreadable(number))
    }

    /// The error for the column last read, which holds what this code never writes.
    fn unreadable(&self, found: impl Display) -> rusqlite::Error {
        let column = self.next - 1;
        let name = self.row.as_ref().column_name(column).unwrap_or("?").to_owned();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Null, format!("{name}: {found}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_ranges_hold_at_the_ends_of_time() {
        let at = Timestamp::from_millis;
        assert_eq!((first_id_since(at(-1)), last_id_before(at(0))), (Some(0), None));
        assert_eq!((first_id_since(Timestamp::MAX), last_id_before(Timestamp::MAX)), (None, Some(u128::MAX)));
        let first = first_id_since(at(7)).unwrap();
        assert_eq!(flux_model::ExecutionId::from_bits(first).made_at(), at(7));
        assert_eq!(last_id_before(at(7)), Some(first - 1));
    }

    #[test]
    fn numbers_are_places_in_the_lists() {
        for (number, value) in (0..).zip(STATUSES) {
            assert_eq!(status(value), number);
            assert_eq!(value.is_terminal(), number > 2);
        }
        assert!((0..).zip(KINDS).all(|(number, value)| kind(value) == number));
        assert!((0..).zip(REVIEW_STATUSES).all(|(number, value)| review_status(value) == number));
    }
}
