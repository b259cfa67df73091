-- The same for Citus: the tables whose keys begin with `part` are distributed by it, and all rows
-- of a part are on one node. The others stay on the coordinator.

ALTER TABLE tongjang.ledger ADD COLUMN engine text COLLATE "C" NOT NULL DEFAULT 'citus'
    CONSTRAINT ledger_engine_known CHECK (engine IN ('postgresql', 'citus'));

-- A row a part. A statement that adds rows to a part goes over it, and so to that part's node.
CREATE TABLE tongjang.parts (
    part smallint NOT NULL PRIMARY KEY CHECK (part >= 0)
);
GRANT SELECT ON tongjang.parts TO tongjang_app;

-- No trigger sees what a statement adds, so each entry names number, balance and currency of the
-- one before, and an account those of its newest.
ALTER TABLE tongjang.entries
    DROP CONSTRAINT entries_chain,
    ADD CONSTRAINT entries_chain_key UNIQUE (part, account_id, number, balance, currency),
    ADD CONSTRAINT entries_chain_whole CHECK (number = 1 OR previous_number IS NOT NULL);
ALTER TABLE tongjang.entries ADD CONSTRAINT entries_chain
    FOREIGN KEY (part, account_id, previous_number, balance_before, currency)
    REFERENCES tongjang.entries (part, account_id, number, balance, currency);
ALTER TABLE tongjang.accounts DROP CONSTRAINT accounts_newest;
ALTER TABLE tongjang.accounts ADD CONSTRAINT accounts_balance
    FOREIGN KEY (part, id, head_number, balance, currency)
    REFERENCES tongjang.entries (part, account_id, number, balance, currency);

-- An index over all parts cannot be unique; verify finds an account that is there twice.
DROP INDEX tongjang.accounts_by_id;
CREATE INDEX accounts_by_id ON tongjang.accounts (id);

-- A foreign key is taken between tables that are distributed already, so each is put back after.
DO $$
DECLARE
    dropped record;
    again text[] := '{}';
    command text;
BEGIN
    FOR dropped IN
        SELECT conrelid::regclass AS place, conname, pg_get_constraintdef(oid) AS definition
            FROM pg_constraint WHERE contype = 'f' AND connamespace = 'tongjang'::regnamespace
                AND EXISTS (SELECT FROM pg_attribute
                    WHERE attrelid = conrelid AND attname = 'part')
    LOOP
        again := again || format('ALTER TABLE %s ADD CONSTRAINT %I %s',
            dropped.place, dropped.conname, dropped.definition);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', dropped.place, dropped.conname);
    END LOOP;
    PERFORM create_distributed_table('tongjang.accounts', 'part', colocate_with => 'none',
        shard_count => (SELECT least(parts, 32) FROM tongjang.ledger));
    PERFORM create_distributed_table('tongjang.' || name, 'part',
            colocate_with => 'tongjang.accounts')
        FROM unnest('{entries, account_numbers, status_changes, keys, parts}'::text[]) AS t (name);
    -- What is written to it is committed together with what is written to the others.
    PERFORM citus_add_local_table_to_metadata('tongjang.copies');
    FOREACH command IN ARRAY again LOOP
        EXECUTE command;
    END LOOP;
END
$$;

INSERT INTO tongjang.parts (part)
    SELECT n FROM tongjang.ledger, generate_series(0, parts - 1) AS s (n);

-- Rows are added with all their columns here, and rights on single columns do not go along when
-- a part moves to another node. So the rights are on the whole table, and the guards below keep
-- every account as the rules open it and what nobody may change.
GRANT INSERT, UPDATE ON tongjang.accounts, tongjang.copies TO tongjang_app;

-- The guards that look at one row alone. Those that compare rows would have to see several nodes.
SET LOCAL citus.enable_unsafe_triggers = on;

CREATE FUNCTION tongjang.refuse() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'tongjang: % of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', HINT = TG_ARGV[0];
END
$$;

CREATE TRIGGER entries_immutable BEFORE UPDATE OR DELETE ON tongjang.entries
    EXECUTE FUNCTION tongjang.refuse('An entry never changes; book another transaction.');
CREATE TRIGGER status_changes_immutable BEFORE UPDATE OR DELETE ON tongjang.status_changes
    EXECUTE FUNCTION tongjang.refuse('What happened to an account never changes.');
CREATE TRIGGER keys_immutable BEFORE UPDATE OR DELETE ON tongjang.keys
    EXECUTE FUNCTION tongjang.refuse('What came of a key never changes.');
CREATE TRIGGER account_numbers_immutable BEFORE UPDATE OR DELETE ON tongjang.account_numbers
    EXECUTE FUNCTION tongjang.refuse('A number names one account for ever.');
CREATE TRIGGER ledger_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON tongjang.ledger
    EXECUTE FUNCTION tongjang.refuse('A ledger keeps its id, its parts and its engine.');
CREATE TRIGGER parts_immutable BEFORE UPDATE OR DELETE ON tongjang.parts
    EXECUTE FUNCTION tongjang.refuse('A ledger keeps its parts.');
CREATE TRIGGER accounts_stay BEFORE DELETE ON tongjang.accounts
    EXECUTE FUNCTION tongjang.refuse('An account is closed, never deleted.');
-- The nodes do not take these; whoever empties a table does it by way of the coordinator.
CREATE TRIGGER entries_not_emptied BEFORE TRUNCATE ON tongjang.entries
    EXECUTE FUNCTION tongjang.refuse('An entry never changes; book another transaction.');
CREATE TRIGGER status_changes_not_emptied BEFORE TRUNCATE ON tongjang.status_changes
    EXECUTE FUNCTION tongjang.refuse('What happened to an account never changes.');
CREATE TRIGGER keys_not_emptied BEFORE TRUNCATE ON tongjang.keys
    EXECUTE FUNCTION tongjang.refuse('What came of a key never changes.');
CREATE TRIGGER account_numbers_not_emptied BEFORE TRUNCATE ON tongjang.account_numbers
    EXECUTE FUNCTION tongjang.refuse('A number names one account for ever.');
CREATE TRIGGER accounts_not_emptied BEFORE TRUNCATE ON tongjang.accounts
    EXECUTE FUNCTION tongjang.refuse('An account is closed, never deleted.');
CREATE TRIGGER accounts_begin AFTER INSERT ON tongjang.accounts
    FOR EACH ROW
    WHEN (NEW.status <> 'open' OR NEW.version <> 1 OR NEW.entry_count <> 0
        OR NEW.credit_total <> 0 OR NEW.held <> 0 OR NEW.overdraft_limit <> 0)
    EXECUTE FUNCTION tongjang.refuse('An account begins open and empty.');
CREATE TRIGGER accounts_go_forward AFTER UPDATE ON tongjang.accounts
    FOR EACH ROW
    WHEN (NEW.version <= OLD.version
        OR NEW.entry_count < OLD.entry_count
        OR NEW.credit_count < OLD.credit_count
        OR NEW.credit_total < OLD.credit_total
        OR NEW.last_booked_at < OLD.last_booked_at
        OR NEW.changed_at < OLD.changed_at
        OR (NEW.entry_count = OLD.entry_count
            AND (NEW.balance, NEW.credit_count, NEW.credit_total, NEW.head_hash, NEW.last_booked_at)
                IS DISTINCT FROM (OLD.balance, OLD.credit_count, OLD.credit_total, OLD.head_hash,
                    OLD.last_booked_at))
        OR (OLD.status = 'closed' AND NEW.status <> 'closed')
        OR (NEW.part, NEW.id, NEW.owner, NEW.currency, NEW.opened_at)
            IS DISTINCT FROM (OLD.part, OLD.id, OLD.owner, OLD.currency, OLD.opened_at)
        OR (NEW.bank, NEW.number, NEW.number_made, NEW.held, NEW.overdraft_limit)
            IS DISTINCT FROM (OLD.bank, OLD.number, OLD.number_made, OLD.held, OLD.overdraft_limit))
    EXECUTE FUNCTION tongjang.refuse('An account only goes forward, and stays what it is.');

-- All of it was made by whoever runs this, as whom the nodes speak to each other.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'tongjang'::regnamespace AND relkind = 'r'
            AND pg_get_userbyid(relowner) = current_user
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO tongjang_owner', name);
    END LOOP;
    ALTER FUNCTION tongjang.refuse() OWNER TO tongjang_owner;
END
$$;
