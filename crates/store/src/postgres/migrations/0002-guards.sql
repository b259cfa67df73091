-- History is written once, and an account never goes back. Only on engines with triggers; the
-- rights of tongjang_app say the same everywhere.

CREATE FUNCTION tongjang.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'tongjang: % of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', HINT = TG_ARGV[0];
END
$$;

CREATE TRIGGER entries_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON tongjang.entries
    EXECUTE FUNCTION tongjang.refuse('An entry never changes; book another transaction.');
CREATE TRIGGER status_changes_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON tongjang.status_changes
    EXECUTE FUNCTION tongjang.refuse('What happened to an account never changes.');
CREATE TRIGGER keys_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON tongjang.keys
    EXECUTE FUNCTION tongjang.refuse('What came of a key never changes.');
CREATE TRIGGER account_numbers_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON tongjang.account_numbers
    EXECUTE FUNCTION tongjang.refuse('A number names one account for ever.');
CREATE TRIGGER ledger_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON tongjang.ledger
    EXECUTE FUNCTION tongjang.refuse('A ledger keeps its id and its parts.');
CREATE TRIGGER accounts_stay BEFORE DELETE OR TRUNCATE ON tongjang.accounts
    EXECUTE FUNCTION tongjang.refuse('An account is closed, never deleted.');
CREATE TRIGGER accounts_go_forward BEFORE UPDATE ON tongjang.accounts
    FOR EACH ROW
    WHEN (NEW.version <= OLD.version
        OR NEW.entry_count < OLD.entry_count
        OR NEW.credit_count < OLD.credit_count
        OR NEW.credit_total < OLD.credit_total
        OR NEW.last_booked_at < OLD.last_booked_at
        OR NEW.changed_at < OLD.changed_at
        OR (OLD.status = 'closed' AND NEW.status <> 'closed')
        OR (NEW.part, NEW.id, NEW.owner, NEW.currency, NEW.opened_at)
            IS DISTINCT FROM (OLD.part, OLD.id, OLD.owner, OLD.currency, OLD.opened_at)
        OR (NEW.bank, NEW.number, NEW.number_made)
            IS DISTINCT FROM (OLD.bank, OLD.number, OLD.number_made))
    EXECUTE FUNCTION tongjang.refuse('An account only goes forward, and stays what it is.');
