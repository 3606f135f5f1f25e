-- Who changed what, and when. Rows are added and never touched again.
CREATE TABLE audit (
    namespace   text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    request_id  text NOT NULL,
    operation   text COLLATE "C" NOT NULL,
    entity_kind text COLLATE "C" NOT NULL,
    entity_id   text COLLATE "C" NOT NULL,
    before      json,
    after       json,
    PRIMARY KEY (namespace, id)
);
CREATE INDEX audit_of_entity ON audit (namespace, entity_kind, entity_id, id);

CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit table is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
