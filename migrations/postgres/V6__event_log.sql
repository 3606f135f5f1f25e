-- Whose records these are: the event log that the outbox is published to. At most one row.
CREATE TABLE event_log (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    id text COLLATE "C" NOT NULL
);
