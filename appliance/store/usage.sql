CREATE TABLE talk (
    day TEXT NOT NULL,
    provider TEXT NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (day, provider)
) STRICT, WITHOUT ROWID;
CREATE TABLE usage (
    day TEXT NOT NULL,
    provider TEXT NOT NULL,
    unit TEXT NOT NULL,
    input REAL NOT NULL,
    output REAL NOT NULL,
    PRIMARY KEY (day, provider, unit)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (
    line TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    agent TEXT NOT NULL,
    language TEXT NOT NULL,
    provider TEXT NOT NULL,
    handle TEXT NOT NULL,
    handle_at REAL NOT NULL,
    history TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
