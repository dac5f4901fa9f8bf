-- Which outside repository each workspace follows. No credential is kept.
CREATE TABLE remotes (
    workspace BLOB PRIMARY KEY,
    url TEXT NOT NULL,
    branch TEXT NOT NULL
) STRICT, WITHOUT ROWID;
