-- The answers of business writes, kept for a day under the key that the client gave.
CREATE TABLE idempotency_keys (
    namespace    text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    -- Absent only within the transaction that is still working out the answer.
    status       smallint,
    body         text,
    -- The last outbox row of the write, when it had any.
    outbox_seq   bigint,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
