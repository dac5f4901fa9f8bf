-- Browsers that are logged in, under the hashes of their cookies.
CREATE TABLE logins (
    hash BLOB PRIMARY KEY,
    subject BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_by_end ON logins (expires);
