-- What the servers may do: read everything, add to the history, and move an account's head on.

GRANT USAGE ON SCHEMA tongjang TO tongjang_app;
GRANT SELECT ON tongjang.ledger, tongjang.accounts, tongjang.account_numbers, tongjang.entries,
    tongjang.status_changes, tongjang.keys, tongjang.migrations TO tongjang_app;
GRANT INSERT ON tongjang.account_numbers, tongjang.entries, tongjang.status_changes, tongjang.keys
    TO tongjang_app;
GRANT INSERT (part, id, owner, currency, bank, number, number_made, opened_at, head_hash,
    last_booked_at, changed_at) ON tongjang.accounts TO tongjang_app;
GRANT UPDATE (status, entry_count, head_number, balance, credit_count, credit_total, head_hash,
    last_booked_at, changed_at, version) ON tongjang.accounts TO tongjang_app;
