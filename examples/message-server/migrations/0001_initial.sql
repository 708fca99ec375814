-- Nothing here opens a message without Lethe, and no row is ever deleted.

-- A wrapped key stands here once, however many messages it opens.
CREATE TABLE wrapped_key (
    id INTEGER PRIMARY KEY,
    wrapped_key TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE message (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    room TEXT NOT NULL,
    id TEXT NOT NULL,
    sent_at INTEGER NOT NULL, -- milliseconds since the Unix epoch
    wrapped_key INTEGER NOT NULL REFERENCES wrapped_key (id),
    envelope BLOB NOT NULL, -- sender and text, sealed
    UNIQUE (room, id)
) STRICT;

CREATE INDEX message_by_room ON message (room, position);

-- A wish to shred a room, written down before it is sent: sent again it has the same id.
CREATE TABLE shred (
    id TEXT PRIMARY KEY,
    room TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    receipt TEXT -- null until Lethe has answered with it
) STRICT;
