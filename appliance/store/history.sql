CREATE TABLE session (
    id TEXT PRIMARY KEY,
    line TEXT NOT NULL,
    agent TEXT NOT NULL,
    user TEXT NOT NULL DEFAULT '',
    started_at REAL NOT NULL,
    ended_at REAL,
    reason TEXT
) STRICT;
CREATE INDEX session_by_start ON session (started_at DESC);
CREATE TABLE turn (
    session TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    turn INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    text TEXT NOT NULL,
    heard TEXT,
    at REAL NOT NULL
) STRICT;
CREATE INDEX turn_by_session ON turn (session, at);
CREATE TABLE call (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    peer TEXT NOT NULL,
    session TEXT,
    started_at REAL NOT NULL,
    connected_at REAL,
    ended_at REAL NOT NULL,
    code INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX call_by_start ON call (started_at DESC);
