-- How far the copy of another ledger into this one has come. There is at most one, into a ledger
-- that is empty; until it is finished no server opens the ledger.

CREATE TABLE tongjang.copies (
    one         boolean     NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    -- The id of the ledger that is copied.
    source      uuid        NOT NULL,
    -- So many of its events are here: moved on by the transaction that adds them.
    events      bigint      NOT NULL DEFAULT 0 CHECK (events >= 0),
    began_at    timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

GRANT SELECT ON tongjang.copies TO tongjang_app;
GRANT INSERT (source) ON tongjang.copies TO tongjang_app;
GRANT UPDATE (events, finished_at) ON tongjang.copies TO tongjang_app;
