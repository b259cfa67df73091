-- The directory: what people may ask to have changed or erased. It has no key to the ledger's
-- tables and they have none to it. Each table is small enough for every node of a Citus cluster to
-- have all of it (a reference table), so there are plain constraints only: no trigger, no sequence.

CREATE TABLE tongjang.users (
    id            uuid             NOT NULL PRIMARY KEY,
    username      text             NOT NULL,
    -- What two usernames share that are the same, whatever their case and Unicode form.
    username_key  text COLLATE "C" NOT NULL UNIQUE,
    password_hash text             NOT NULL,
    name          text,
    role          text COLLATE "C" NOT NULL CHECK (role IN ('customer', 'operator')),
    created_at    timestamptz      NOT NULL
);

CREATE TABLE tongjang.tokens (
    hash       bytea       NOT NULL PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id    uuid        NOT NULL REFERENCES tongjang.users (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX tokens_by_expiry ON tongjang.tokens (expires_at);
CREATE INDEX tokens_by_user ON tongjang.tokens (user_id);

CREATE TABLE tongjang.api_keys (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    hash       bytea            NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    user_id    uuid             NOT NULL REFERENCES tongjang.users (id) ON DELETE CASCADE,
    -- Which of the keys that its user may have it is: two servers that each add the last one take
    -- the same place, and the database lets one of them have it.
    place      smallint         NOT NULL CHECK (place > 0),
    name       text             NOT NULL,
    write      boolean          NOT NULL,
    operate    boolean          NOT NULL CHECK (write OR NOT operate),
    last_four  text             NOT NULL,
    created_at timestamptz      NOT NULL,
    expires_at timestamptz,
    UNIQUE (user_id, place)
);

CREATE TABLE tongjang.account_labels (
    owner_id uuid  NOT NULL REFERENCES tongjang.users (id) ON DELETE CASCADE,
    -- The random half of the account's id, known before the account is opened.
    nonce    bytea NOT NULL CHECK (octet_length(nonce) = 8),
    name     text  NOT NULL,
    PRIMARY KEY (owner_id, nonce)
);

CREATE TABLE tongjang.secrets (
    name  text COLLATE "C" NOT NULL PRIMARY KEY,
    value bytea            NOT NULL CHECK (octet_length(value) = 32)
);

-- Nothing that a server does changes a user, a key or a secret; a key is deleted, not changed.
GRANT SELECT, INSERT ON tongjang.users TO tongjang_app;
GRANT SELECT, INSERT, DELETE ON tongjang.tokens TO tongjang_app;
GRANT SELECT, INSERT, DELETE ON tongjang.api_keys TO tongjang_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON tongjang.account_labels TO tongjang_app;
GRANT SELECT, INSERT ON tongjang.secrets TO tongjang_app;
