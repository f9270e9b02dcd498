-- Detections, cases, decisions, requests, responses, claims, effects, escalations, the outbox and the feeds. Times are
-- microseconds since 1970 in UTC, durations microseconds, ids are UUIDs as text, and JSON is text.

-- +goose Up
CREATE TABLE cases (
    number          {{serial}},
    id              TEXT    NOT NULL UNIQUE,
    tenant_id       TEXT    NOT NULL REFERENCES organisations (id),
    title           TEXT    NOT NULL,
    severity        BIGINT  NOT NULL,
    threat          TEXT    NOT NULL,
    threat_version  BIGINT  NOT NULL,
    contact         TEXT    NOT NULL,
    contact_version BIGINT  NOT NULL,
    ack_by          TEXT    NOT NULL,
    ack_until       BIGINT,
    cursor_seq      BIGINT  NOT NULL,
    last_seq        BIGINT  NOT NULL,
    adversary_at    BIGINT,
    opened_at       BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    closed_at       BIGINT,
    closed_by       TEXT    NOT NULL,
    close_reason    TEXT    NOT NULL,
    simulated       BOOLEAN NOT NULL,
    responses       BIGINT  NOT NULL,
    escalations     BIGINT  NOT NULL
);
CREATE INDEX cases_by_tenant ON cases (tenant_id, number);
CREATE INDEX cases_open ON cases (tenant_id, number) WHERE closed_at IS NULL;
CREATE INDEX cases_sweep ON cases (id) WHERE closed_at IS NULL;

-- What a detection says beyond this row (its raw form, its OCSF event, its observables) is the payload of its journal entry.
CREATE TABLE detections (
    arrival     {{serial}},
    id          TEXT   NOT NULL UNIQUE,
    tenant_id   TEXT   NOT NULL,
    entry       BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    case_id     TEXT,
    seq         BIGINT NOT NULL DEFAULT 0,
    product     TEXT   NOT NULL,
    sensor      TEXT   NOT NULL,
    uid         TEXT   NOT NULL,
    title       TEXT   NOT NULL,
    severity    BIGINT NOT NULL,
    techniques  TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    clock       TEXT   NOT NULL,
    dedup_key   TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    threat      TEXT   NOT NULL DEFAULT '',
    proposals   TEXT   NOT NULL DEFAULT '',
    decision_id TEXT,
    lease_owner TEXT   NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX detections_received ON detections (tenant_id, arrival) WHERE state = 'received';
CREATE INDEX detections_quarantined ON detections (tenant_id, arrival) WHERE state = 'quarantined';
CREATE INDEX detections_suppressed ON detections (tenant_id, arrival) WHERE state = 'suppressed';
CREATE INDEX detections_by_key ON detections (tenant_id, dedup_key, received_at)
    WHERE state IN ('assigned', 'duplicate', 'suppressed');
CREATE INDEX detections_by_case ON detections (case_id, seq) WHERE case_id IS NOT NULL;

-- Which case named an observable last: the digest is SHA-256 over the tenant, the kind and the value.
CREATE TABLE observables (
    tenant_id TEXT     NOT NULL,
    digest    {{blob}} NOT NULL,
    case_id   TEXT     NOT NULL,
    last_at   BIGINT   NOT NULL,
    PRIMARY KEY (tenant_id, digest, case_id)
) {{clustered}};

CREATE INDEX observables_by_case ON observables (case_id);

-- Parts of decisions by their SHA-256, sealed under the organisation's key.
CREATE TABLE contents (
    org_id TEXT     NOT NULL,
    digest TEXT     NOT NULL,
    sealed {{blob}} NOT NULL,
    PRIMARY KEY (org_id, digest)
);

CREATE TABLE decisions (
    id         TEXT   NOT NULL PRIMARY KEY,
    tenant_id  TEXT   NOT NULL REFERENCES organisations (id),
    key        TEXT   NOT NULL,
    case_id    TEXT,
    subject_id TEXT   NOT NULL,
    question   TEXT   NOT NULL,
    revision   TEXT   NOT NULL,
    input      TEXT   NOT NULL,
    answer     TEXT   NOT NULL,
    rules      TEXT   NOT NULL,
    reasons    TEXT   NOT NULL,
    fault      TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    UNIQUE (tenant_id, key)
);
CREATE INDEX decisions_by_case ON decisions (case_id, at) WHERE case_id IS NOT NULL;
CREATE INDEX decisions_by_subject ON decisions (subject_id, at);

CREATE TABLE responses (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant_id    TEXT    NOT NULL REFERENCES organisations (id),
    case_id      TEXT    NOT NULL REFERENCES cases (id),
    number       BIGINT  NOT NULL,
    step         TEXT    NOT NULL,
    round        BIGINT  NOT NULL,
    verb         TEXT    NOT NULL,
    target_kind  TEXT    NOT NULL,
    target_value TEXT    NOT NULL,
    asset_id     TEXT,
    params       TEXT    NOT NULL,
    duration     BIGINT  NOT NULL,
    end_policy   TEXT    NOT NULL,
    connections  TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    why          TEXT    NOT NULL,
    required     BOOLEAN NOT NULL,
    asked_by     TEXT    NOT NULL,
    decision_id  TEXT,
    request_id   TEXT,
    basis        TEXT    NOT NULL,
    facts        TEXT    NOT NULL,
    stales       BIGINT  NOT NULL,
    version      BIGINT  NOT NULL,
    hold_from    BIGINT,
    hold_until   BIGINT,
    ending       TEXT    NOT NULL,
    ending_by    TEXT    NOT NULL,
    extended     BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL,
    ended_at     BIGINT,
    UNIQUE (case_id, number)
);
CREATE INDEX responses_open ON responses (tenant_id, state) WHERE ended_at IS NULL;
CREATE INDEX responses_sweep ON responses (id) WHERE ended_at IS NULL;

CREATE TABLE requests (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant_id   TEXT   NOT NULL REFERENCES organisations (id),
    case_id     TEXT   NOT NULL REFERENCES cases (id),
    response_id TEXT   NOT NULL REFERENCES responses (id),
    decision_id TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    round       BIGINT NOT NULL,
    body        TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    approvers   TEXT   NOT NULL,
    asked_by    TEXT   NOT NULL,
    rules       TEXT   NOT NULL,
    reasons     TEXT   NOT NULL,
    silence     TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    closed_why  TEXT   NOT NULL,
    supersedes  TEXT,
    opened_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    closed_at   BIGINT,
    UNIQUE (response_id, round)
);
CREATE INDEX requests_open ON requests (tenant_id, expires_at) WHERE state = 'open';

-- Accepted clicks. A carried one counts for the narrower request that took the place of the one that was clicked on.
CREATE TABLE votes (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant_id  TEXT    NOT NULL,
    request_id TEXT    NOT NULL REFERENCES requests (id),
    person_id  TEXT    NOT NULL REFERENCES people (id),
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    verdict    TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    surface    TEXT    NOT NULL,
    carried    BOOLEAN NOT NULL,
    at         BIGINT  NOT NULL
);
CREATE INDEX votes_by_request ON votes (request_id, at);
-- Nobody decides twice on the same request.
CREATE UNIQUE INDEX votes_once ON votes (request_id, person_id) WHERE verdict <> 'more';

CREATE TABLE effects (
    id            TEXT    NOT NULL PRIMARY KEY,
    tenant_id     TEXT    NOT NULL REFERENCES organisations (id),
    connection_id TEXT    NOT NULL REFERENCES connections (id),
    verb          TEXT    NOT NULL,
    target_kind   TEXT    NOT NULL,
    target_value  TEXT    NOT NULL,
    asset_id      TEXT,
    generation    BIGINT  NOT NULL,
    state         TEXT    NOT NULL,
    adopted       BOOLEAN NOT NULL,
    handle        TEXT    NOT NULL,
    prior         TEXT    NOT NULL,
    params        TEXT    NOT NULL,
    published     BOOLEAN NOT NULL,
    verified_at   BIGINT,
    device_ends   BIGINT,
    version       BIGINT  NOT NULL
);
CREATE INDEX effects_standing ON effects (tenant_id, state) WHERE state <> 'absent';

CREATE TABLE holders (
    response_id   TEXT   NOT NULL REFERENCES responses (id),
    effect_id     TEXT   NOT NULL REFERENCES effects (id),
    connection_id TEXT   NOT NULL,
    generation    BIGINT NOT NULL,
    state         TEXT   NOT NULL,
    until         BIGINT,
    outcome       TEXT   NOT NULL,
    error         TEXT   NOT NULL,
    anew          BOOLEAN NOT NULL, -- failed without the device having refused it: it is claimed anew while its time lasts
    PRIMARY KEY (response_id, effect_id)
);
CREATE INDEX holders_by_effect ON holders (effect_id) WHERE state = 'holding';

CREATE TABLE claims (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant_id   TEXT   NOT NULL REFERENCES organisations (id),
    case_id     TEXT   NOT NULL,
    response_id TEXT   NOT NULL REFERENCES responses (id),
    decision_id TEXT,
    request_id  TEXT,
    effect_id   TEXT   NOT NULL REFERENCES effects (id),
    generation  BIGINT NOT NULL,
    number      BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    class       TEXT   NOT NULL,
    verb        TEXT   NOT NULL,
    severity    BIGINT NOT NULL,
    until       BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    settle      BIGINT NOT NULL,
    sends       BIGINT NOT NULL,
    sent_at     BIGINT,
    quiet_at    BIGINT, -- from then on the request is not under way any more: its deadline, or its answer if that was earlier
    read_at     BIGINT,
    outcome     TEXT   NOT NULL,
    error       TEXT   NOT NULL,
    result_at   BIGINT,
    UNIQUE (effect_id, generation, number)
);
-- One effect per generation: the database itself refuses a second right to bring it about.
CREATE UNIQUE INDEX claims_one_act ON claims (effect_id, generation) WHERE kind = 'act';
CREATE INDEX claims_recent ON claims (tenant_id, at) WHERE kind = 'act';
CREATE INDEX claims_in_flight ON claims (tenant_id) WHERE result_at IS NULL;
CREATE INDEX claims_by_response ON claims (response_id, at);

CREATE TABLE escalations (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant_id   TEXT   NOT NULL REFERENCES organisations (id),
    case_id     TEXT   NOT NULL REFERENCES cases (id),
    number      BIGINT NOT NULL,
    chain       TEXT   NOT NULL,
    rounds      BIGINT NOT NULL,
    ack_for     BIGINT NOT NULL,
    subject     TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    decision_id TEXT,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT,
    ack_by      TEXT   NOT NULL,
    ack_via     TEXT   NOT NULL,
    UNIQUE (case_id, number)
);
CREATE INDEX escalations_sweep ON escalations (id) WHERE ended_at IS NULL;

CREATE TABLE attempts (
    id              TEXT    NOT NULL PRIMARY KEY,
    tenant_id       TEXT    NOT NULL REFERENCES organisations (id),
    case_id         TEXT    NOT NULL,
    escalation_id   TEXT    NOT NULL REFERENCES escalations (id),
    round           BIGINT  NOT NULL,
    position        BIGINT  NOT NULL,
    person_id       TEXT    NOT NULL,
    channel         TEXT    NOT NULL,
    connection_id   TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    interruptive    BOOLEAN NOT NULL,
    two_way         BOOLEAN NOT NULL,
    state           TEXT    NOT NULL,
    error           TEXT    NOT NULL,
    provider_id     TEXT    NOT NULL,
    due_at          BIGINT  NOT NULL,
    sent_at         BIGINT,
    accepted_at     BIGINT,
    delivered_at    BIGINT,
    seen_at         BIGINT,
    acknowledged_at BIGINT
);
CREATE INDEX attempts_by_escalation ON attempts (escalation_id, due_at);
CREATE INDEX attempts_by_provider ON attempts (channel, provider_id) WHERE provider_id <> '';

-- One row a subject: what is new for it is read from the tables. stamp rises when it is nudged again; leased is the stamp with
-- which it was handed out.
CREATE TABLE outbox (
    kind        TEXT   NOT NULL,
    subject_id  TEXT   NOT NULL,
    tenant_id   TEXT   NOT NULL,
    stamp       BIGINT NOT NULL,
    severity    BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    lease_owner TEXT   NOT NULL,
    lease_until BIGINT NOT NULL,
    leased      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject_id)
) {{clustered}};
CREATE INDEX outbox_by_tenant ON outbox (tenant_id, severity DESC, at);
CREATE INDEX outbox_leased ON outbox (tenant_id, lease_until) WHERE lease_owner <> '';

CREATE TABLE feed_lists (
    connection_id TEXT   NOT NULL REFERENCES connections (id),
    list          TEXT   NOT NULL,
    revision      BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL,
    PRIMARY KEY (connection_id, list)
);

CREATE TABLE feed_entries (
    connection_id TEXT   NOT NULL,
    list          TEXT   NOT NULL,
    value         TEXT   NOT NULL,
    mark          TEXT   NOT NULL,
    tenant_id     TEXT   NOT NULL,
    revision      BIGINT NOT NULL,
    added_at      BIGINT NOT NULL,
    until         BIGINT NOT NULL,
    PRIMARY KEY (connection_id, list, value, mark)
) {{clustered}};
CREATE INDEX feed_entries_until ON feed_entries (connection_id, list, until);

CREATE TABLE feed_fetches (
    connection_id TEXT   NOT NULL,
    list          TEXT   NOT NULL,
    firewall      TEXT   NOT NULL,
    revision      BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    poll_interval BIGINT NOT NULL,
    PRIMARY KEY (connection_id, list, firewall)
);

-- What a case's timeline shows of its tenant.
CREATE INDEX journal_switches ON journal (org_id, at) WHERE kind IN ('tenant.mode', 'tenant.stop');

-- +goose Down
DROP INDEX journal_switches;
DROP TABLE feed_fetches;
DROP TABLE feed_entries;
DROP TABLE feed_lists;
DROP TABLE outbox;
DROP TABLE attempts;
DROP TABLE escalations;
DROP TABLE claims;
DROP TABLE holders;
DROP TABLE effects;
DROP TABLE votes;
DROP TABLE requests;
DROP TABLE responses;
DROP TABLE decisions;
DROP TABLE contents;
DROP TABLE observables;
DROP TABLE detections;
DROP TABLE cases;
