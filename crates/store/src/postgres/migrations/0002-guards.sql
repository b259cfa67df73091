-- History is written once, and an account never goes back. Only on engines with triggers; the
-- rights of tongjang_app say the same everywhere.

CREATE FUNCTION tongjang.refuse() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
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
-- After, so that no other trigger changes a row that this one has seen.
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

-- What is added to an account's history goes on from what was there, without a gap, and ends at the
-- account's head, which the same statement moves on.
CREATE FUNCTION tongjang.follow() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    odd record;
BEGIN
    -- What is before an entry stands in the same statement, or is looked up for the first of an
    -- account's; before its very first there is nothing, and the totals are zero.
    SELECT n.account_id, n.number INTO odd
        FROM (SELECT part, account_id, number, previous_number, currency, direction, amount,
                booked_at, balance_before, balance, credit_count, credit_total, hash,
                lag(number) OVER w AS number_before,
                lag(balance) OVER w AS balance_so_far,
                lag(currency) OVER w AS currency_before,
                lag(booked_at) OVER w AS time_before,
                lag(credit_count) OVER w AS count_before,
                lag(credit_total) OVER w AS total_before,
                CASE WHEN lead(number) OVER w IS NULL THEN account_id END AS newest_of
            FROM added WINDOW w AS (PARTITION BY part, account_id ORDER BY number)) AS n
        LEFT JOIN tongjang.entries AS p
            ON p.part = n.part AND p.account_id = n.account_id AND p.number = n.previous_number
        LEFT JOIN tongjang.accounts AS a ON a.part = n.part AND a.id = n.newest_of
        WHERE coalesce(n.number_before, p.number, 0) <> n.number - 1
            OR n.balance_before <> coalesce(n.balance_so_far, p.balance, 0)
            OR n.currency <> coalesce(n.currency_before, p.currency)
            OR n.booked_at <= coalesce(n.time_before, p.booked_at)
            OR n.credit_count <> coalesce(n.count_before, p.credit_count, 0)
                + (n.direction = 1)::integer
            OR n.credit_total <> coalesce(n.total_before, p.credit_total, 0)
                + CASE WHEN n.direction = 1 THEN n.amount ELSE 0 END
            OR (n.newest_of IS NOT NULL
                AND (a.entry_count, a.balance, a.credit_count, a.credit_total, a.head_hash,
                        a.last_booked_at)
                    IS DISTINCT FROM
                    (n.number, n.balance, n.credit_count, n.credit_total, n.hash, n.booked_at))
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tongjang: entry % of account % does not follow, or is not its head',
            odd.number, odd.account_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER entries_follow AFTER INSERT ON tongjang.entries
    REFERENCING NEW TABLE AS added
    EXECUTE FUNCTION tongjang.follow();

-- A transaction is written by one statement: a debit and a credit of one amount, currency, kind and
-- time. Sums are taken over the whole statement, so this costs little where foreign keys from each
-- side to the other would cost most of all.
CREATE FUNCTION tongjang.balance() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    odd uuid;
BEGIN
    SELECT transaction_id INTO odd FROM added GROUP BY transaction_id
        HAVING count(*) <> 2 OR sum(direction) <> 0
            OR min(amount) <> max(amount) OR min(currency) <> max(currency)
            OR min(kind) <> max(kind) OR min(booked_at) <> max(booked_at)
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tongjang: transaction % is not a debit and a credit of one amount', odd
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER entries_balance AFTER INSERT ON tongjang.entries
    REFERENCING NEW TABLE AS added
    EXECUTE FUNCTION tongjang.balance();
