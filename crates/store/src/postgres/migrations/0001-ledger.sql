-- The book. The database itself refuses one that is broken, whoever writes to it: what each
-- constraint is for stands in docs/postgres.md.
--
-- Every key begins with `part`, by which an engine that distributes tables distributes these.

CREATE TABLE tongjang.ledger (
    one        boolean     NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    id         uuid        NOT NULL,
    parts      smallint    NOT NULL CHECK (parts >= 1),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tongjang.accounts (
    part            smallint    NOT NULL CHECK (part >= 0),
    id              uuid        NOT NULL,
    owner           uuid        NOT NULL,
    currency        char(3)     COLLATE "C" NOT NULL,
    bank            text        COLLATE "C",
    number          text        COLLATE "C",
    number_made     boolean     NOT NULL DEFAULT false,
    opened_at       timestamptz NOT NULL,
    status          text        COLLATE "C" NOT NULL DEFAULT 'open',
    entry_count     bigint      NOT NULL DEFAULT 0 CHECK (entry_count >= 0),
    -- The number of the newest entry; NULL while there is none.
    head_number     bigint,
    balance         numeric(39) NOT NULL DEFAULT 0,
    held            numeric(39) NOT NULL DEFAULT 0,
    overdraft_limit numeric(39) NOT NULL DEFAULT 0,
    credit_count    bigint      NOT NULL DEFAULT 0,
    credit_total    numeric(39) NOT NULL DEFAULT 0,
    head_hash       bytea       NOT NULL CHECK (octet_length(head_hash) = 32),
    last_booked_at  timestamptz NOT NULL,
    -- When anything last happened to it, a change of its status too.
    changed_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (part, id),
    CONSTRAINT accounts_currency_key UNIQUE (part, id, currency),
    CONSTRAINT accounts_status_known CHECK (status IN ('open', 'frozen', 'closed')),
    CONSTRAINT accounts_head CHECK (
        CASE WHEN entry_count = 0 THEN head_number IS NULL AND balance = 0
             ELSE head_number IS NOT NULL AND head_number = entry_count END),
    CONSTRAINT accounts_totals CHECK (
        credit_count BETWEEN 0 AND entry_count AND credit_total >= 0 AND credit_total >= balance),
    CONSTRAINT accounts_version CHECK (version > entry_count AND version < 4611686018427387904),
    -- A number above all others is none of these, and neither is a time at infinity.
    CONSTRAINT accounts_limits CHECK (
        held BETWEEN 0 AND 170141183460469231731687303715884105727
        AND overdraft_limit BETWEEN 0 AND 170141183460469231731687303715884105727),
    CONSTRAINT accounts_times CHECK (
        opened_at BETWEEN '0001-01-01Z' AND '9999-12-31Z'
        AND last_booked_at BETWEEN '0001-01-01Z' AND '9999-12-31Z'
        AND changed_at BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    -- The ledger itself (owner 0) owns the settlement accounts, whose ids have the time zero, and
    -- which alone may stand below zero.
    CONSTRAINT accounts_settlement CHECK (
        (id < '00000000-0000-0001-0000-000000000000')
            = (owner = '00000000-0000-0000-0000-000000000000')
        AND (bank IS NULL) = (owner = '00000000-0000-0000-0000-000000000000')
        AND (number IS NULL) = (bank IS NULL)),
    CONSTRAINT accounts_funded CHECK (
        owner = '00000000-0000-0000-0000-000000000000' OR balance - held + overdraft_limit >= 0)
) WITH (fillfactor = 60);

-- Which part an account of this id is in, and the list of all of them. An index with a condition is
-- for those statements alone that name the column in it: while the tables have no statistics, the
-- planner would take it for any other that names its first columns. That column never changes, as
-- an account whose indexes an update concerns is written into each of them anew.
CREATE UNIQUE INDEX accounts_by_id ON tongjang.accounts (id);
CREATE INDEX accounts_by_opening ON tongjang.accounts (opened_at, id)
    WHERE opened_at IS NOT NULL;
CREATE INDEX accounts_by_owner ON tongjang.accounts (part, owner, opened_at, id)
    WHERE opened_at IS NOT NULL;

CREATE TABLE tongjang.account_numbers (
    part       smallint NOT NULL CHECK (part >= 0),
    bank       text     COLLATE "C" NOT NULL,
    -- Without hyphens and in one case: two spellings of a number are one.
    bare       text     COLLATE "C" NOT NULL,
    account_id uuid     NOT NULL,
    PRIMARY KEY (part, bank, bare)
);

CREATE TABLE tongjang.entries (
    part             smallint    NOT NULL,
    account_id       uuid        NOT NULL,
    number           bigint      NOT NULL,
    -- The number of the entry before it, where an earlier statement added that one. Entries that
    -- one statement adds are held to each other by entries_follow.
    previous_number  bigint,
    -- The account, in its first entry alone.
    first_of         uuid,
    currency         char(3)     COLLATE "C" NOT NULL,
    kind             smallint    NOT NULL CHECK (kind BETWEEN 1 AND 6),
    -- 1 is a credit and -1 is a debit.
    direction        smallint    NOT NULL CHECK (direction IN (1, -1)),
    transaction_id   uuid        NOT NULL,
    booked_at        timestamptz NOT NULL CHECK (booked_at BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    amount           numeric(39) NOT NULL CHECK (amount BETWEEN 1 AND 79228162514264337593543950336),
    balance_before   numeric(39) NOT NULL,
    balance          numeric(39) NOT NULL,
    credit_count     bigint      NOT NULL,
    credit_total     numeric(39) NOT NULL,
    counterparty_id  uuid,
    memo             text        NOT NULL,
    -- What the caller keeps with the transaction, on its debit alone: an object of texts.
    metadata         text,
    hash             bytea       NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (part, account_id, number),
    CONSTRAINT entries_step CHECK (balance = balance_before + direction * amount),
    CONSTRAINT entries_number CHECK (
        CASE WHEN number = 1
             THEN previous_number IS NULL AND balance_before = 0
                  AND first_of IS NOT NULL AND first_of = account_id
             ELSE number > 1 AND first_of IS NULL
                  AND coalesce(previous_number = number - 1, true) END),
    CONSTRAINT entries_funded CHECK (
        balance >= 0 OR account_id < '00000000-0000-0001-0000-000000000000'),
    CONSTRAINT entries_first FOREIGN KEY (part, first_of, currency)
        REFERENCES tongjang.accounts (part, id, currency),
    CONSTRAINT entries_chain FOREIGN KEY (part, account_id, previous_number)
        REFERENCES tongjang.entries (part, account_id, number)
) WITH (fillfactor = 100);

-- The balance, kept apart from the history, is the one after the newest entry.
ALTER TABLE tongjang.accounts ADD CONSTRAINT accounts_newest
    FOREIGN KEY (part, id, head_number) REFERENCES tongjang.entries (part, account_id, number);

-- A transaction has one debit and one credit in a part.
CREATE UNIQUE INDEX entries_side_key ON tongjang.entries (part, transaction_id, direction)
    WHERE booked_at IS NOT NULL;
CREATE INDEX entries_by_time ON tongjang.entries (part, account_id, direction, booked_at)
    WHERE booked_at IS NOT NULL;

CREATE TABLE tongjang.status_changes (
    part       smallint    NOT NULL,
    account_id uuid        NOT NULL,
    version    bigint      NOT NULL CHECK (version > 1),
    status     text        COLLATE "C" NOT NULL CHECK (status IN ('open', 'frozen', 'closed')),
    changed_at timestamptz NOT NULL CHECK (changed_at BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    PRIMARY KEY (part, account_id, version),
    CONSTRAINT status_changes_account FOREIGN KEY (part, account_id)
        REFERENCES tongjang.accounts (part, id)
);

-- What came of a request that had a key.
CREATE TABLE tongjang.keys (
    part           smallint    NOT NULL CHECK (part >= 0),
    scope          uuid        NOT NULL,
    key            text        COLLATE "C" NOT NULL,
    fingerprint    bytea       NOT NULL CHECK (octet_length(fingerprint) = 16),
    happened_at    timestamptz NOT NULL CHECK (happened_at BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    -- One of these four says what.
    transaction_id uuid,
    opened_id      uuid,
    changed_id     uuid,
    refusal        text,
    -- The account's version after a change of its status.
    version        bigint,
    PRIMARY KEY (part, scope, key),
    CONSTRAINT keys_outcome CHECK (num_nonnulls(transaction_id, opened_id, changed_id, refusal) = 1),
    CONSTRAINT keys_version CHECK ((version IS NULL) = (changed_id IS NULL))
);
