-- Customers, deleted ones too. A key is free again once its customer is deleted.
CREATE TABLE customers (
    namespace       text COLLATE "C" NOT NULL,
    id              text COLLATE "C" NOT NULL,
    key             text COLLATE "C",
    name            text COLLATE "C" NOT NULL,
    description     text,
    primary_email   text COLLATE "C",
    currency        text COLLATE "C",
    billing_address jsonb,
    metadata        jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    PRIMARY KEY (namespace, id)
);
CREATE UNIQUE INDEX customers_live_key ON customers (namespace, key) WHERE deleted_at IS NULL;
CREATE INDEX customers_live_name ON customers (namespace, name, id) WHERE deleted_at IS NULL;

-- Which live customer the usage of a subject key belongs to. The rows of a deleted customer are gone.
CREATE TABLE customer_subjects (
    namespace   text COLLATE "C" NOT NULL,
    subject_key text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, subject_key),
    FOREIGN KEY (namespace, customer_id) REFERENCES customers (namespace, id)
);
CREATE INDEX customer_subjects_of_customer ON customer_subjects (namespace, customer_id, subject_key);
