-- What waits for a person. `standing` is JSON, `state` its first word.
CREATE TABLE proposals (
    id BLOB PRIMARY KEY,
    workspace BLOB NOT NULL,
    committed TEXT NOT NULL,
    expires INTEGER NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    standing TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX proposals_by_workspace ON proposals (workspace, id);
CREATE INDEX proposals_to_land ON proposals (id) WHERE state = 'approving';

-- Every standing that a proposal has had.
CREATE TABLE proposal_standings (
    no INTEGER PRIMARY KEY,
    proposal BLOB NOT NULL,
    standing TEXT NOT NULL
) STRICT;
CREATE INDEX standings_by_proposal ON proposal_standings (proposal, no);
