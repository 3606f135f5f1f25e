-- Entitlements: what a customer may use of a feature. Ended and deleted ones too.
CREATE TABLE entitlements (
    namespace                  text COLLATE "C" NOT NULL,
    id                         text COLLATE "C" NOT NULL,
    customer_id                text COLLATE "C" NOT NULL,
    feature_id                 text COLLATE "C" NOT NULL,
    feature_key                text COLLATE "C" NOT NULL,
    -- metered, static or boolean
    kind                       text COLLATE "C" NOT NULL,
    metadata                   jsonb NOT NULL,
    annotations                jsonb NOT NULL,
    active_from                timestamptz NOT NULL,
    active_to                  timestamptz,
    period_anchor              timestamptz,
    -- ISO 8601, as it was sent
    period_interval            text COLLATE "C",
    -- Of static ones.
    config                     jsonb,
    -- Of metered ones. Amounts are plain decimals as text: no digit is lost.
    is_soft_limit              boolean,
    issue_after_reset          text COLLATE "C",
    issue_after_reset_priority smallint,
    preserve_overage_at_reset  boolean,
    measure_from               timestamptz,
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL,
    deleted_at                 timestamptz,
    PRIMARY KEY (namespace, id),
    FOREIGN KEY (namespace, customer_id) REFERENCES customers (namespace, id),
    FOREIGN KEY (namespace, feature_id) REFERENCES features (namespace, id)
);
-- At most one without an end; that intervals with an end do not overlap is for whoever holds the customer's lock.
CREATE UNIQUE INDEX entitlements_open ON entitlements (namespace, customer_id, feature_key)
    WHERE deleted_at IS NULL AND active_to IS NULL;
CREATE INDEX entitlements_of_customer ON entitlements (namespace, customer_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX entitlements_of_feature ON entitlements (namespace, feature_id) WHERE deleted_at IS NULL;
CREATE INDEX entitlements_by_age ON entitlements (namespace, created_at, id) WHERE deleted_at IS NULL;

-- What metered entitlements are used from. Voided, expired and deleted ones too.
CREATE TABLE grants (
    namespace           text COLLATE "C" NOT NULL,
    id                  text COLLATE "C" NOT NULL,
    entitlement_id      text COLLATE "C" NOT NULL,
    amount              text COLLATE "C" NOT NULL,
    priority            smallint NOT NULL,
    effective_at        timestamptz NOT NULL,
    expires_at          timestamptz,
    -- What expires_at was worked out from.
    expiration_count    bigint,
    expiration_unit     text COLLATE "C",
    min_rollover        text COLLATE "C" NOT NULL,
    max_rollover        text COLLATE "C" NOT NULL,
    recurrence_anchor   timestamptz,
    recurrence_interval text COLLATE "C",
    metadata            jsonb NOT NULL,
    -- As they came: json keeps the digits, the order and the escapes that jsonb would not.
    annotations         json,
    voided_at           timestamptz,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    deleted_at          timestamptz,
    PRIMARY KEY (namespace, id),
    FOREIGN KEY (namespace, entitlement_id) REFERENCES entitlements (namespace, id)
);
CREATE INDEX grants_of_entitlement ON grants (namespace, entitlement_id, created_at, id);
CREATE INDEX grants_by_effect ON grants (namespace, effective_at, id);

-- Resets by hand. Those at the ends of usage periods are computed and have no rows.
CREATE TABLE usage_resets (
    namespace        text COLLATE "C" NOT NULL,
    entitlement_id   text COLLATE "C" NOT NULL,
    at               timestamptz NOT NULL,
    -- Where later periods are counted from, when the reset moved it.
    anchor           timestamptz,
    preserve_overage boolean NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (namespace, entitlement_id, at),
    FOREIGN KEY (namespace, entitlement_id) REFERENCES entitlements (namespace, id)
);
