-- Migration 1: executions with everything around them, flows, access, triggers.
--
-- Ids are 16-byte blobs that sort by creation time; times are milliseconds since 1970; enums are
-- the numbers of src/column.rs. A project belongs to one organization, so that indexes need only
-- the project; both stand in every table.

PRAGMA application_id = 0x464C5558; -- "FLUX"

CREATE TABLE projects (
    project      BLOB PRIMARY KEY NOT NULL,
    organization BLOB NOT NULL,
    name         TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per execution in the order of acceptance (`accepted`).
CREATE TABLE executions (
    accepted          INTEGER PRIMARY KEY,
    id                BLOB NOT NULL UNIQUE,
    organization      BLOB NOT NULL,
    project           BLOB NOT NULL,
    kind              INTEGER NOT NULL,
    flow              TEXT NOT NULL,
    version           TEXT NOT NULL,
    trigger_type      TEXT NOT NULL,
    request_id        TEXT NOT NULL,
    parent            BLOB,
    parent_path       TEXT,
    parent_awaited    INTEGER,
    depth             INTEGER NOT NULL,
    idempotency_key   TEXT,
    priority          INTEGER NOT NULL,
    debounce_key      TEXT,    -- set as long as the input may still be replaced
    concurrency_key   TEXT,
    concurrency_limit INTEGER,
    overflow          INTEGER,
    replaced_by       BLOB,    -- set when it is to be cancelled for another one
    status            INTEGER NOT NULL,
    waits             TEXT,    -- JSON, while waiting
    input             TEXT NOT NULL,
    output            TEXT,
    error_code        TEXT,
    error_message     TEXT,
    error_node        TEXT,
    started_at        INTEGER,
    ended_at          INTEGER,
    next_seq          INTEGER NOT NULL,
    journal_bytes     INTEGER NOT NULL
) STRICT;

-- Lists. Status comes before id: a list without status filter merges the few ranges.
CREATE INDEX executions_by_status ON executions (status, kind, project, id);
CREATE INDEX executions_by_flow ON executions (project, flow, status, id);
CREATE INDEX executions_by_request ON executions (project, request_id, id);
CREATE INDEX executions_by_parent ON executions (parent, id) WHERE parent IS NOT NULL;
-- Recovery and sweeper.
CREATE INDEX executions_open ON executions (id) WHERE status <= 2;
-- Admission. Slots are counted here and nowhere else.
CREATE INDEX executions_slots ON executions (project, flow, concurrency_key, status, priority DESC)
    WHERE concurrency_key IS NOT NULL AND status <= 2;
CREATE UNIQUE INDEX executions_debounced ON executions (project, flow, debounce_key)
    WHERE debounce_key IS NOT NULL;
CREATE UNIQUE INDEX executions_idempotent ON executions (project, flow, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Idempotency keys of events that joined a debounced execution.
CREATE TABLE idempotency_aliases (
    project      BLOB NOT NULL,
    flow         TEXT NOT NULL,
    key          TEXT NOT NULL,
    organization BLOB NOT NULL,
    execution    BLOB NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    PRIMARY KEY (project, flow, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_aliases_by_execution ON idempotency_aliases (execution);

-- Append-ordered: a table clustered by execution halves the rate of commits (ADR 0002).
CREATE TABLE journal (
    position     INTEGER PRIMARY KEY,
    execution    BLOB NOT NULL,
    first_seq    INTEGER NOT NULL,
    entries      INTEGER NOT NULL,
    organization BLOB NOT NULL,
    project      BLOB NOT NULL,
    record       BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_by_execution ON journal (execution, first_seq);

-- Input of executions that have no journal yet.
CREATE TABLE held_inputs (
    execution    BLOB PRIMARY KEY NOT NULL,
    organization BLOB NOT NULL,
    project      BLOB NOT NULL,
    input        BLOB NOT NULL
) STRICT;

CREATE TABLE timers (
    execution    BLOB NOT NULL,
    name         TEXT NOT NULL,
    due          INTEGER NOT NULL,
    organization BLOB NOT NULL,
    project      BLOB NOT NULL,
    PRIMARY KEY (execution, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (due);

-- Objects that journals and held inputs refer to.
CREATE TABLE object_references (
    execution    BLOB NOT NULL,
    name         TEXT NOT NULL,
    organization BLOB NOT NULL,
    project      BLOB NOT NULL,
    PRIMARY KEY (execution, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX object_references_by_name ON object_references (project, name);

CREATE TABLE reviews (
    id           BLOB PRIMARY KEY NOT NULL,
    organization BLOB NOT NULL,
    project      BLOB NOT NULL,
    execution    BLOB NOT NULL,
    flow         TEXT NOT NULL,
    request      TEXT NOT NULL,    -- JSON
    version      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    decision     TEXT,             -- JSON
    opened_at    INTEGER NOT NULL,
    closed_at    INTEGER
) STRICT;
CREATE INDEX reviews_by_status ON reviews (project, status, id);
CREATE INDEX reviews_by_execution ON reviews (execution, id);

-- One theoretical arrival time per key (GCRA), in microseconds since 1970.
CREATE TABLE rates (
    project      BLOB NOT NULL,
    flow         TEXT NOT NULL,
    key          TEXT NOT NULL,
    organization BLOB NOT NULL,
    next_us      INTEGER NOT NULL,
    PRIMARY KEY (project, flow, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX rates_by_time ON rates (project, next_us);

CREATE TABLE flows (
    project      BLOB NOT NULL,
    name         TEXT NOT NULL,
    organization BLOB NOT NULL,
    active       INTEGER NOT NULL,
    active_hash  TEXT,
    draft        TEXT NOT NULL,
    draft_hash   TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;

-- Immutable; kept when the flow is deleted, because executions name them.
CREATE TABLE flow_versions (
    project      BLOB NOT NULL,
    flow         TEXT NOT NULL,
    number       INTEGER NOT NULL,
    hash         TEXT NOT NULL,
    organization BLOB NOT NULL,
    definition   TEXT NOT NULL,
    author       TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (project, flow, number),
    UNIQUE (project, flow, hash)
) STRICT;

CREATE TABLE trigger_states (
    project      BLOB NOT NULL,
    flow         TEXT NOT NULL,
    node         TEXT NOT NULL,
    organization BLOB NOT NULL,
    state        TEXT NOT NULL,
    version      INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (project, flow, node)
) STRICT;

CREATE TABLE secrets (
    project      BLOB NOT NULL,
    name         TEXT NOT NULL,
    organization BLOB NOT NULL,
    sealed       BLOB NOT NULL,
    hosts        TEXT NOT NULL,    -- JSON
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;

CREATE TABLE data_keys (
    project      BLOB NOT NULL,
    version      INTEGER NOT NULL,
    organization BLOB NOT NULL,
    wrapped      BLOB NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (project, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id           BLOB PRIMARY KEY NOT NULL,
    organization BLOB NOT NULL,
    project      BLOB NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL,    -- JSON
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_project ON api_keys (project, id);
