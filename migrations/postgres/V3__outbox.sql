-- Control records that are decided and not yet known to be in the log: written with the change, deleted once appended.
CREATE TABLE outbox (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace  text COLLATE "C" NOT NULL,
    control    jsonb NOT NULL,
    created_at timestamptz NOT NULL
);
