-- Features, archived ones too. An id stays for ever; a key is free again once its feature is archived.
CREATE TABLE features (
    namespace   text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    name        text NOT NULL,
    description text,
    metadata    jsonb NOT NULL,
    meter_id    text COLLATE "C",
    -- Of that meter, whose slug never changes.
    meter_slug  text COLLATE "C",
    -- Dimension to condition, as v1 writes conditions.
    filters     jsonb NOT NULL,
    unit_cost   jsonb,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    archived_at timestamptz,
    PRIMARY KEY (namespace, id),
    FOREIGN KEY (namespace, meter_id) REFERENCES meters (namespace, id)
);
CREATE UNIQUE INDEX features_live_key ON features (namespace, key) WHERE archived_at IS NULL;
CREATE INDEX features_of_meter ON features (namespace, meter_id) WHERE archived_at IS NULL;
