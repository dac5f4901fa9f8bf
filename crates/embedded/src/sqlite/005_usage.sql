-- What model calls used, one row a call. Tokens are null where the endpoint did not say, the cost
-- where there is no price; what is charged counts against budgets and is always there.
CREATE TABLE usage (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    dispatch BLOB NOT NULL,
    subject BLOB NOT NULL,
    turn TEXT,
    at INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    input INTEGER,
    cached INTEGER,
    output INTEGER,
    cost INTEGER,
    charged_tokens INTEGER NOT NULL,
    charged_micros INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_by_dispatch ON usage (dispatch);
CREATE INDEX usage_by_subject ON usage (subject, at);
CREATE INDEX usage_by_time ON usage (at);
