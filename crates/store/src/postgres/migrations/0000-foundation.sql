-- The schema, and what was done to it so far.

-- Of two that begin at once the second waits for the first; see the table below.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('tongjang.migrations'));

CREATE SCHEMA IF NOT EXISTS tongjang AUTHORIZATION tongjang_owner;

CREATE TABLE IF NOT EXISTS tongjang.migrations (
    version    integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT session_user
);
ALTER TABLE tongjang.migrations OWNER TO tongjang_owner;
