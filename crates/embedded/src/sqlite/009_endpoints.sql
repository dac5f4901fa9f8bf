-- Model endpoints that people keep for themselves. Their keys lie elsewhere, sealed: `secret` names one.
CREATE TABLE endpoints (
    owner BLOB NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    secret BLOB,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
