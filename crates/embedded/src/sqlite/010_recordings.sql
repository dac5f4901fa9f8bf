-- What models were asked and answered, of dispatches that are recorded. The key is as that of an entry; bodies are JSON.
CREATE TABLE recordings (
    key INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
