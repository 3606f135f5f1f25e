-- Meters, deleted ones too. An id stays for ever; a slug is free again once its meter is deleted.
CREATE TABLE meters (
    namespace      text COLLATE "C" NOT NULL,
    id             text COLLATE "C" NOT NULL,
    version        text COLLATE "C" NOT NULL,
    slug           text COLLATE "C" NOT NULL,
    name           text NOT NULL,
    description    text,
    aggregation    text COLLATE "C" NOT NULL,
    event_type     text COLLATE "C" NOT NULL,
    -- Nanoseconds since 1970, in whole microseconds.
    event_from_ns  bigint,
    value_property text,
    group_by       jsonb NOT NULL,
    metadata       jsonb,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    deleted_at     timestamptz,
    PRIMARY KEY (namespace, id)
);
CREATE UNIQUE INDEX meters_live_slug ON meters (namespace, slug) WHERE deleted_at IS NULL;
