-- Who has to be told of a change of the response mode: one row for each other contact, written with the change.

-- +goose Up
CREATE TABLE mode_notices (
    tenant_id TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    person_id TEXT   NOT NULL REFERENCES people (id),
    was       TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    due_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version, person_id),
    FOREIGN KEY (tenant_id, version) REFERENCES consents (tenant_id, version)
);
CREATE INDEX mode_notices_waiting ON mode_notices (due_at) WHERE state = 'waiting';

-- +goose Down
DROP TABLE mode_notices;
