-- Subjects, deleted ones too. A key is free again once its subject is deleted.
CREATE TABLE subjects (
    namespace          text COLLATE "C" NOT NULL,
    id                 text COLLATE "C" NOT NULL,
    key                text COLLATE "C" NOT NULL,
    display_name       text,
    -- As the client sent it: json keeps the digits, the order and the escapes that jsonb would not.
    metadata           json NOT NULL,
    stripe_customer_id text,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    deleted_at         timestamptz,
    PRIMARY KEY (namespace, id)
);
CREATE UNIQUE INDEX subjects_live_key ON subjects (namespace, key) WHERE deleted_at IS NULL;
