-- What each workspace is for.
ALTER TABLE workspaces ADD COLUMN purpose TEXT NOT NULL DEFAULT '';

-- Who is what in which workspace, in the order in which they came.
CREATE TABLE members (
    no INTEGER PRIMARY KEY,
    workspace BLOB NOT NULL,
    person BLOB NOT NULL,
    role TEXT NOT NULL,
    since INTEGER NOT NULL,
    active INTEGER NOT NULL,
    UNIQUE (workspace, person)
) STRICT;
CREATE INDEX members_by_person ON members (person, workspace);

-- Whoever had a workspace owns it; their first one is part of their conversations.
INSERT INTO members (workspace, person, role, since, active)
SELECT w.id, w.owner, 'owner', w.created,
    NOT EXISTS (
        SELECT 1 FROM workspaces e
        WHERE e.owner = w.owner AND (e.created, e.id) < (w.created, w.id)
    )
FROM workspaces w ORDER BY w.created, w.id;

-- When whom was removed: older invitations do not let them in again.
CREATE TABLE removals (
    workspace BLOB NOT NULL,
    person BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (workspace, person)
) STRICT, WITHOUT ROWID;

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    workspace BLOB NOT NULL,
    role TEXT NOT NULL,
    maker BLOB NOT NULL,
    emails TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    uses_left INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invites_by_workspace ON invites (workspace, created);
