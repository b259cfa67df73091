-- The roles are the whole server's, and may be there already: owner of the tables, and what the
-- servers of the ledger may do. Neither can log in; grant tongjang_app to who shall.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tongjang_owner') THEN
        CREATE ROLE tongjang_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tongjang_app') THEN
        CREATE ROLE tongjang_app NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    -- Somebody who makes another ledger on this server was faster.
    NULL;
END
$$;

-- From PostgreSQL 16 on, who made a role without being a superuser may grant it, to himself too,
-- and not yet act as it.
DO $$
DECLARE
    needed text := CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000
        THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT pg_catalog.pg_has_role(current_user, 'tongjang_owner', needed) THEN
        GRANT tongjang_owner TO current_user;
    END IF;
END
$$;
