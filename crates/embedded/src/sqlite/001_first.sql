-- Ids are their 16 bytes, times are milliseconds since 1970, states and bodies are JSON.

-- Where each dispatch stands. Small rows: this is what every append rewrites.
CREATE TABLE heads (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    subject BLOB NOT NULL,
    session BLOB NOT NULL,
    state TEXT NOT NULL,
    live INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    last_epoch INTEGER NOT NULL,
    last_n INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    recovery TEXT
) STRICT;
CREATE INDEX heads_by_subject ON heads (subject, id);
CREATE INDEX heads_by_session ON heads (session, id);
CREATE INDEX heads_alive ON heads (id) WHERE live;

-- What was accepted, never changed. The same `no` as its head.
CREATE TABLE dispatches (
    no INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    claims TEXT NOT NULL
) STRICT;

-- The key is `no` of the dispatch times 2^24 plus the number of the entry.
CREATE TABLE entries (
    key INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE turns (
    no INTEGER PRIMARY KEY,
    session BLOB NOT NULL,
    turn TEXT NOT NULL,
    dispatch BLOB NOT NULL,
    number INTEGER NOT NULL,
    accepted_epoch INTEGER NOT NULL,
    accepted_n INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    UNIQUE (session, turn)
) STRICT;
CREATE INDEX turns_by_session ON turns (session, no);

CREATE TABLE idempotency (
    subject BLOB NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    turn_no INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (subject, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (at);

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    subject BLOB NOT NULL,
    runner TEXT NOT NULL,
    home BLOB NOT NULL,
    title TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_active INTEGER NOT NULL,
    dispatch BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_subject ON sessions (subject, last_active);

CREATE TABLE people (
    id BLOB PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    concurrent_max INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    subject BLOB NOT NULL,
    label TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_subject ON keys (subject, id);

CREATE TABLE workspaces (
    id BLOB PRIMARY KEY,
    owner BLOB NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (owner, name)
) STRICT, WITHOUT ROWID;
