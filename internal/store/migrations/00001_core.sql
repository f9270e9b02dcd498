-- Organisations, tenants, people, credentials and the journal. Times are microseconds since 1970 in UTC, ids are UUIDs as
-- text, and JSON is text.

-- +goose Up
CREATE TABLE organisations (
    id         TEXT    NOT NULL PRIMARY KEY,
    parent_id  TEXT    REFERENCES organisations (id),
    kind       TEXT    NOT NULL,
    slug       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    language   TEXT    NOT NULL,
    zone       TEXT    NOT NULL,
    tenant     BOOLEAN NOT NULL,
    simulated  BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    stopped    BOOLEAN NOT NULL,
    stop_why   TEXT    NOT NULL,
    stop_by    TEXT    NOT NULL,
    stop_at    BIGINT,
    settings   TEXT    NOT NULL
);
CREATE INDEX organisations_by_parent ON organisations (parent_id);
CREATE UNIQUE INDEX organisations_one_root ON organisations (kind) WHERE parent_id IS NULL;

-- What Claim reads and compares: one row a tenant.
CREATE TABLE tenant_states (
    tenant_id          TEXT    NOT NULL PRIMARY KEY REFERENCES organisations (id),
    mode               TEXT    NOT NULL,
    mode_version       BIGINT  NOT NULL,
    eradicate          BOOLEAN NOT NULL,
    stop_version       BIGINT  NOT NULL,
    protection_version BIGINT  NOT NULL,
    settings_version   BIGINT  NOT NULL
);

CREATE TABLE consents (
    tenant_id TEXT    NOT NULL REFERENCES organisations (id),
    version   BIGINT  NOT NULL,
    mode      TEXT    NOT NULL,
    eradicate BOOLEAN NOT NULL,
    given_by  TEXT    NOT NULL,
    words     TEXT    NOT NULL,
    language  TEXT    NOT NULL,
    at        BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

CREATE TABLE assets (
    id        TEXT    NOT NULL PRIMARY KEY,
    tenant_id TEXT    NOT NULL REFERENCES organisations (id),
    kind      TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    addresses TEXT    NOT NULL,
    managed   BOOLEAN NOT NULL,
    role      TEXT    NOT NULL,
    evidence  TEXT    NOT NULL,
    protected BOOLEAN NOT NULL,
    tags      TEXT    NOT NULL
);
CREATE INDEX assets_by_tenant ON assets (tenant_id, name);

CREATE TABLE connections (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant_id    TEXT    NOT NULL REFERENCES organisations (id),
    adapter      TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    settings     TEXT    NOT NULL,
    secret_ref   TEXT    NOT NULL,
    reached_from TEXT    NOT NULL,
    enabled      BOOLEAN NOT NULL,
    created_at   BIGINT  NOT NULL,
    UNIQUE (tenant_id, name)
);

-- One key an organisation, wrapped by the master key that lies outside the database.
CREATE TABLE org_keys (
    org_id     TEXT     NOT NULL PRIMARY KEY REFERENCES organisations (id),
    wrapped    {{blob}} NOT NULL,
    master     TEXT     NOT NULL,
    created_at BIGINT   NOT NULL
);

CREATE TABLE secrets (
    org_id     TEXT     NOT NULL REFERENCES organisations (id),
    ref        TEXT     NOT NULL,
    sealed     {{blob}} NOT NULL,
    updated_at BIGINT   NOT NULL,
    PRIMARY KEY (org_id, ref)
);

CREATE TABLE people (
    id          TEXT    NOT NULL PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES organisations (id),
    name        TEXT    NOT NULL,
    email       TEXT    NOT NULL UNIQUE,
    language    TEXT    NOT NULL,
    zone        TEXT    NOT NULL,
    simulated   BOOLEAN NOT NULL,
    disabled_at BIGINT,
    created_at  BIGINT  NOT NULL
);
CREATE INDEX people_by_org ON people (org_id);

CREATE TABLE grants (
    person_id TEXT NOT NULL REFERENCES people (id),
    org_id    TEXT NOT NULL REFERENCES organisations (id),
    role      TEXT NOT NULL,
    PRIMARY KEY (person_id, org_id, role)
);

CREATE TABLE contacts (
    tenant_id   TEXT    NOT NULL REFERENCES organisations (id),
    person_id   TEXT    NOT NULL REFERENCES people (id),
    position    BIGINT  NOT NULL,
    authorise   TEXT    NOT NULL,
    change_mode BOOLEAN NOT NULL,
    methods     TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
);

CREATE TABLE tokens (
    id            TEXT     NOT NULL PRIMARY KEY,
    org_id        TEXT     NOT NULL REFERENCES organisations (id),
    role          TEXT     NOT NULL,
    kind          TEXT     NOT NULL,
    name          TEXT     NOT NULL,
    hash          {{blob}} NOT NULL UNIQUE,
    created_at    BIGINT   NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT,
    connection_id TEXT
);
CREATE INDEX tokens_by_org ON tokens (org_id);

CREATE TABLE sessions (
    id         TEXT     NOT NULL PRIMARY KEY,
    person_id  TEXT     NOT NULL REFERENCES people (id),
    hash       {{blob}} NOT NULL UNIQUE,
    address    TEXT     NOT NULL,
    agent      TEXT     NOT NULL,
    created_at BIGINT   NOT NULL,
    expires_at BIGINT   NOT NULL,
    ended_at   BIGINT
);
CREATE INDEX sessions_by_person ON sessions (person_id);

CREATE TABLE links (
    id         TEXT     NOT NULL PRIMARY KEY,
    hash       {{blob}} NOT NULL UNIQUE,
    person_id  TEXT     NOT NULL REFERENCES people (id),
    purpose    TEXT     NOT NULL,
    attempt_id TEXT,
    case_id    TEXT,
    created_at BIGINT   NOT NULL,
    expires_at BIGINT   NOT NULL,
    used_at    BIGINT
);

-- The head of each organisation's chain. Locking this row is locking the organisation.
CREATE TABLE journal_heads (
    org_id TEXT     NOT NULL PRIMARY KEY REFERENCES organisations (id),
    seq    BIGINT   NOT NULL,
    hash   {{blob}} NOT NULL
);

CREATE TABLE journal (
    org_id  TEXT     NOT NULL,
    seq     BIGINT   NOT NULL,
    key     TEXT     NOT NULL,
    kind    TEXT     NOT NULL,
    at      BIGINT   NOT NULL,
    case_id TEXT,
    actor   TEXT     NOT NULL,
    subject TEXT     NOT NULL,
    digest  {{blob}} NOT NULL,
    prev    {{blob}} NOT NULL,
    hash    {{blob}} NOT NULL,
    PRIMARY KEY (org_id, seq),
    UNIQUE (org_id, key)
) {{clustered}};
CREATE INDEX journal_by_case ON journal (case_id, seq) WHERE case_id IS NOT NULL;

-- What an entry says, apart from the chain so that it can be erased. data_key is wrapped by the organisation's key.
CREATE TABLE journal_payloads (
    org_id    TEXT     NOT NULL,
    seq       BIGINT   NOT NULL,
    salt      {{blob}},
    data_key  {{blob}},
    sealed    {{blob}},
    erased_at BIGINT,
    PRIMARY KEY (org_id, seq)
);

CREATE TABLE journal_signatures (
    org_id    TEXT     NOT NULL,
    seq       BIGINT   NOT NULL,
    hash      {{blob}} NOT NULL,
    at        BIGINT   NOT NULL,
    signer    TEXT     NOT NULL,
    signature {{blob}} NOT NULL,
    PRIMARY KEY (org_id, seq, at)
);

-- +goose Down
DROP TABLE journal_signatures;
DROP TABLE journal_payloads;
DROP TABLE journal;
DROP TABLE journal_heads;
DROP TABLE links;
DROP TABLE sessions;
DROP TABLE tokens;
DROP TABLE contacts;
DROP TABLE grants;
DROP TABLE people;
DROP TABLE secrets;
DROP TABLE org_keys;
DROP TABLE connections;
DROP TABLE assets;
DROP TABLE consents;
DROP TABLE tenant_states;
DROP TABLE organisations;
