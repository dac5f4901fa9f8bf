-- What models were asked and answered, of dispatches that are recorded. The key is as that of an entry; `bytes` are those of
-- the call and of all before it in its dispatch; bodies are JSON.
CREATE TABLE recordings (
    key INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
