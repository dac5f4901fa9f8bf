-- Workspaces that were removed, until their folders are gone, too.
CREATE TABLE removed_workspaces (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_home ON sessions (home);
CREATE INDEX idempotency_by_turn ON idempotency (turn_no);
