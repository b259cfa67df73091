//! What the database refuses, whoever writes to it: as a server, and as somebody with every right
//! on the tables. What only their owner can do is found by `verify`; see `verify.rs`.

use tokio_postgres::{Client, NoTls};
use tongjang_cluster::citus;
use tongjang_core::{
    AccountNumber, Amount, Bank, Caller, Command, Currency, Fingerprint, IdempotencyKey, Memo,
    Metadata, Request, Status, Timestamp, UserId,
};

use tongjang_store::StoreError;
use tongjang_store::postgres::verify;

use crate::certify::tellers::{Ledger, RUNTIME};

const ALICE: UserId = UserId::from_bits(0xa11ce << 64 | 1);
const BOB: UserId = UserId::from_bits(0xb0b << 64 | 1);

/// A ledger in which something has happened: two of Alice's accounts and one of Bob's.
fn ledger() -> Ledger {
    let ledger = Ledger::new(2, 1);
    let mut nonce = 0;
    let mut ask = |user: UserId, key: Option<&str>, command: Command| {
        nonce += 1;
        let key = key.map(|key| (IdempotencyKey::new(key).unwrap(), Fingerprint::of(&command)));
        let request = Request {
            caller: Caller::owner(user),
            at: Timestamp::from_micros(1_795_338_000_000_000 + i64::try_from(nonce).unwrap()),
            nonce,
            key,
            expected_version: None,
            command,
        };
        let answer = ledger.perform(vec![request]).remove(0).unwrap();
        answer.outcome
    };
    let open = |owner, number: &str, currency| Command::Open {
        owner,
        currency,
        bank: Bank::new("088").unwrap(),
        number: AccountNumber::new(number).unwrap(),
        number_made: false,
    };
    let usd = Currency::new("USD").unwrap();
    let mut opened = Vec::new();
    for (owner, number, currency) in
        [(ALICE, "1", Currency::KRW), (ALICE, "2", usd), (BOB, "3", Currency::KRW)]
    {
        let event = ask(owner, None, open(owner, number, currency)).unwrap();
        let tongjang_core::Event::Opened(opening) = event else { panic!("opened") };
        opened.push(opening.account.id);
    }
    let (memo, metadata) = (Memo::new("급여").unwrap(), Metadata::EMPTY);
    for (user, account, minor) in [
        (ALICE, opened[0], 1000),
        (ALICE, opened[0], 500),
        (ALICE, opened[1], 70),
        (BOB, opened[2], 100),
    ] {
        let (amount, memo, metadata) =
            (Amount::new(minor).unwrap(), memo.clone(), metadata.clone());
        ask(user, None, Command::Deposit { account, amount, memo, metadata }).unwrap();
    }
    let amount = Amount::new(300).unwrap();
    let withdraw = Command::Withdraw { account: opened[0], amount, memo, metadata };
    ask(ALICE, Some("k1"), withdraw).unwrap();
    let frozen = Command::ChangeStatus { account: opened[2], status: Status::Frozen };
    ask(BOB, None, frozen).unwrap();
    ledger
}

/// A session of the URL's user, or in one of the roles.
async fn session(ledger: &Ledger, role: Option<&str>) -> Client {
    let (client, driver) = tokio_postgres::connect(ledger.database().url(), NoTls).await.unwrap();
    tokio::spawn(driver);
    client.batch_execute("SET search_path = tongjang").await.unwrap();
    if let Some(role) = role {
        client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    }
    client
}

/// Every row of every table, as one text.
async fn everything(client: &Client) -> String {
    let tables = ["ledger", "accounts", "account_numbers", "entries", "status_changes", "keys"];
    let mut all = String::new();
    for table in tables {
        let sql = format!(
            "SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')
            FROM tongjang.{table} AS t"
        );
        let rows: String = client.query_one(&sql, &[]).await.unwrap().get(0);
        assert!(!rows.is_empty(), "{table} has rows that could be spoilt");
        all += &rows;
    }
    all
}

/// Alice's account in won: 1000 in, 500 in, 300 out.
const A: &str = "(SELECT a FROM accounts AS a WHERE number = '1')";

/// A booking of 50 on Alice's account, paid in, with every figure right but for what is said.
///
/// `entry` and `head` are changes of the columns of the credit and of the account's head.
fn booking(entry: &[(&str, &str)], head: &[(&str, &str)]) -> String {
    let pick = |name: &str, sound: &str, changed: &[(&str, &str)]| {
        let change = changed.iter().find(|(column, _)| *column == name);
        change.map_or_else(|| sound.to_owned(), |(_, value)| (*value).to_owned())
    };
    let column = |name: &str, sound: &str| pick(name, sound, entry);
    let of_head = |name: &str, sound: &str| pick(name, sound, head);
    let side = |account: &str, direction: i32, f: &dyn Fn(&str, &str) -> String| {
        let columns = [
            ("part", "h.part".to_owned()),
            ("account_id", "h.id".to_owned()),
            ("number", "h.entry_count + 1".to_owned()),
            ("previous_number", "h.entry_count".to_owned()),
            ("first_of", "NULL::uuid".to_owned()),
            ("currency", "h.currency".to_owned()),
            ("kind", "1::smallint".to_owned()),
            ("direction", format!("({direction})::smallint")),
            ("transaction_id", "'f0000000-0000-0000-0000-00000000000f'::uuid".to_owned()),
            ("booked_at", "'2027-01-01Z'::timestamptz".to_owned()),
            ("amount", "50::numeric".to_owned()),
            ("balance_before", "h.balance".to_owned()),
            ("balance", format!("h.balance + ({direction}) * 50")),
            ("credit_count", format!("h.credit_count + {}", i32::from(direction == 1))),
            ("credit_total", format!("h.credit_total + {}", if direction == 1 { 50 } else { 0 })),
            ("counterparty_id", "NULL::uuid".to_owned()),
            ("memo", "''".to_owned()),
            ("metadata", "NULL::text".to_owned()),
            ("hash", "decode(repeat('ab', 32), 'hex')".to_owned()),
        ];
        let values = columns.map(|(name, sound)| f(name, &sound)).join(", ");
        format!("SELECT {values} FROM accounts AS h WHERE {account}")
    };
    let sound = |_: &str, sound: &str| sound.to_owned();
    let settlement = format!(
        "h.id < '00000000-0000-0001-0000-000000000000'
        AND h.currency = 'KRW' AND h.part = ({A}).part"
    );
    let credit = side("h.number = '1'", 1, &column);
    let debit = side(&settlement, -1, &sound);
    let moved = |direction: i32, f: &dyn Fn(&str, &str) -> String| {
        let sets = [
            ("entry_count", "h.entry_count + 1".to_owned()),
            ("head_number", "h.entry_count + 1".to_owned()),
            ("balance", format!("h.balance + ({direction}) * 50")),
            ("credit_count", format!("h.credit_count + {}", i32::from(direction == 1))),
            ("credit_total", format!("h.credit_total + {}", if direction == 1 { 50 } else { 0 })),
            ("head_hash", "decode(repeat('ab', 32), 'hex')".to_owned()),
            ("last_booked_at", "'2027-01-01Z'".to_owned()),
            ("changed_at", "'2027-01-01Z'".to_owned()),
            ("version", "h.version + 1".to_owned()),
        ];
        sets.map(|(name, sound)| format!("{name} = {}", f(name, &sound))).join(", ")
    };
    format!(
        "WITH booked AS (INSERT INTO entries (part, account_id, number, previous_number, first_of,
                currency, kind, direction, transaction_id, booked_at,
                amount, balance_before, balance, credit_count, credit_total, counterparty_id, memo,
                metadata, hash)
            {credit} UNION ALL {debit}),
        other AS (UPDATE accounts AS h SET {} WHERE {settlement})
        UPDATE accounts AS h SET {} WHERE h.number = '1'",
        moved(-1, &sound),
        moved(1, &of_head),
    )
}

/// Attacks, and the SQLSTATE with which somebody with every right on the tables is refused. A
/// server is refused all of them too, many for want of a right (42501).
fn attacks() -> Vec<(&'static str, String, &'static str)> {
    let whole = |entry: &[(&str, &str)]| booking(entry, &[]);
    let (check, foreign, unique, guard) = ("23514", "23503", "23505", "23000");
    vec![
        // What is added must follow.
        (
            "a gap",
            whole(&[
                ("number", "h.entry_count + 2"),
                (
                    "previous_number",
                    "h.entry_count +
            1",
                ),
            ]),
            foreign,
        ),
        (
            "a gap that names the right one before it",
            whole(&[("number", "h.entry_count + 2")]),
            check,
        ),
        (
            "a fork",
            whole(&[
                ("number", "2::bigint"),
                ("previous_number", "1::bigint"),
                ("balance_before", "1000::numeric"),
                ("balance", "1050::numeric"),
            ]),
            unique,
        ),
        (
            "a second beginning",
            whole(&[
                ("number", "1::bigint"),
                ("previous_number", "NULL::bigint"),
                ("first_of", "h.id"),
                ("balance_before", "0::numeric"),
                ("balance", "50::numeric"),
            ]),
            unique,
        ),
        ("a beginning at two", whole(&[("previous_number", "NULL::bigint")]), guard),
        (
            "a gap without a word of what is before it",
            whole(&[("number", "h.entry_count + 2"), ("previous_number", "NULL::bigint")]),
            foreign,
        ),
        ("a wrong balance", whole(&[("balance", "h.balance + 51")]), check),
        (
            "a wrong balance before",
            whole(&[("balance_before", "h.balance + 1"), ("balance", "h.balance + 51")]),
            guard,
        ),
        ("a debit that is a credit", whole(&[("direction", "(-1)::smallint")]), check),
        (
            "two debits",
            whole(&[("direction", "(-1)::smallint"), ("balance", "h.balance - 50")]),
            unique,
        ),
        (
            "a wrong sum",
            booking(
                &[
                    ("amount", "60::numeric"),
                    ("balance", "h.balance + 60"),
                    ("credit_total", "h.credit_total + 60"),
                ],
                &[("balance", "h.balance + 60"), ("credit_total", "h.credit_total + 60")],
            ),
            guard,
        ),
        (
            "a credit of another transaction",
            whole(&[("transaction_id", "gen_random_uuid()")]),
            guard,
        ),
        ("a credit of another kind", whole(&[("kind", "2::smallint")]), guard),
        ("a credit in another currency", whole(&[("currency", "'USD'")]), guard),
        ("an amount of zero", whole(&[("amount", "0::numeric"), ("balance", "h.balance")]), check),
        ("a time that goes back", whole(&[("booked_at", "'2020-01-01Z'::timestamptz")]), guard),
        ("credits that do not add up", whole(&[("credit_total", "h.credit_total + 51")]), guard),
        ("credits that do not count up", whole(&[("credit_count", "h.credit_count")]), guard),
        ("a hash of other length", whole(&[("hash", "'\\x00'::bytea")]), check),
        (
            "history beyond the head",
            booking(
                &[],
                &[
                    ("entry_count", "h.entry_count"),
                    ("head_number", "h.head_number"),
                    ("balance", "h.balance"),
                    ("credit_count", "h.credit_count"),
                    ("credit_total", "h.credit_total"),
                    ("head_hash", "h.head_hash"),
                    ("last_booked_at", "h.last_booked_at"),
                ],
            ),
            guard,
        ),
        ("a head with another balance", booking(&[], &[("balance", "h.balance + 60")]), guard),
        ("a head with another hash", booking(&[], &[("head_hash", "h.head_hash")]), guard),
        (
            "a head with other totals",
            booking(&[], &[("credit_total", "h.credit_total + 60")]),
            guard,
        ),
        // An account below zero: Alice's has 1200.
        (
            "an overdraft",
            format!(
                "WITH booked AS (INSERT INTO entries
                SELECT part, id, entry_count + 1, entry_count, NULL, currency, 2, d,
                    'f0000000-0000-0000-0000-00000000000f', '2027-01-01Z', 1201, balance,
                    balance + d * 1201, credit_count + (d = 1)::int,
                    credit_total + CASE WHEN d = 1 THEN 1201 ELSE 0 END, NULL, '', NULL,
                    decode(repeat('ab', 32), 'hex')
                FROM accounts, LATERAL (SELECT CASE WHEN number = '1' THEN -1 ELSE 1
                    END::smallint) AS s (d)
                WHERE part = ({A}).part AND currency = 'KRW' AND (number = '1' OR number IS NULL))
            UPDATE accounts SET entry_count = entry_count + 1, head_number = entry_count + 1,
                balance = balance + d * 1201, credit_count = credit_count + (d = 1)::int,
                credit_total = credit_total + CASE WHEN d = 1 THEN 1201 ELSE 0 END,
                head_hash = decode(repeat('ab', 32), 'hex'), last_booked_at = '2027-01-01Z',
                changed_at = '2027-01-01Z', version = version + 1
            FROM (VALUES ('1', -1), (NULL, 1)) AS s (of, d)
            WHERE number IS NOT DISTINCT FROM of AND part = ({A}).part AND currency = 'KRW'"
            ),
            check,
        ),
        (
            "entries of nobody",
            "INSERT INTO entries SELECT part,
            'a0000000-0000-0000-0000-00000000000a',
            1, NULL, 'a0000000-0000-0000-0000-00000000000a', currency, kind, d,
            'f0000000-0000-0000-0000-00000000000f', '2027-01-01Z', 50, 0, 50, 1, 50, NULL, '',
                NULL, hash
            FROM entries, (VALUES (1::smallint)) AS s (d) WHERE amount = 70 AND direction = 1"
                .to_owned(),
            foreign,
        ),
        // What is there stays as it is.
        ("a changed amount", "UPDATE entries SET amount = amount + 1".to_owned(), guard),
        ("a changed memo", "UPDATE entries SET memo = 'x' WHERE number = 1".to_owned(), guard),
        ("a deleted entry", "DELETE FROM entries WHERE number = 3".to_owned(), guard),
        ("an emptied history", "TRUNCATE entries CASCADE".to_owned(), guard),
        (
            "every table emptied",
            "TRUNCATE entries, accounts, keys, status_changes,
            account_numbers"
                .to_owned(),
            guard,
        ),
        ("a deleted account", "DELETE FROM accounts".to_owned(), guard),
        ("emptied accounts", "TRUNCATE accounts CASCADE".to_owned(), guard),
        ("a deleted key", "DELETE FROM keys".to_owned(), guard),
        (
            "a key for another outcome",
            "UPDATE keys SET transaction_id =
            'e0000000-0000-0000-0000-00000000000e'"
                .to_owned(),
            guard,
        ),
        ("emptied keys", "TRUNCATE keys".to_owned(), guard),
        (
            "a key of several outcomes",
            "INSERT INTO keys SELECT part, scope, 'k2', fingerprint,
            happened_at, transaction_id, transaction_id, NULL, NULL, NULL FROM keys"
                .to_owned(),
            check,
        ),
        (
            "a number for another account",
            "UPDATE account_numbers SET account_id =
            'e0000000-0000-0000-0000-00000000000e'"
                .to_owned(),
            guard,
        ),
        ("a change of status that is undone", "DELETE FROM status_changes".to_owned(), guard),
        ("another division", "UPDATE ledger SET parts = 1".to_owned(), guard),
        (
            "a second ledger",
            "INSERT INTO ledger (id, parts)
            VALUES ('e0000000-0000-0000-0000-00000000000e', 1)"
                .to_owned(),
            unique,
        ),
        // The balance that is kept apart.
        (
            "a forged balance",
            "UPDATE accounts SET balance = balance + 1, version = version + 1
            WHERE number = '1'"
                .to_owned(),
            guard,
        ),
        (
            "a forged balance and count",
            "UPDATE accounts SET balance = balance + 1,
            entry_count = entry_count + 1, head_number = head_number + 1, version = version + 1
            WHERE number = '1'"
                .to_owned(),
            foreign,
        ),
        (
            "a head set back",
            "UPDATE accounts SET entry_count = 1, head_number = 1, balance = 1000,
            credit_count = 1, credit_total = 1000, version = version + 1 WHERE number =
                '1'"
            .to_owned(),
            guard,
        ),
        ("a version set back", "UPDATE accounts SET version = version".to_owned(), guard),
        (
            "an owner exchanged",
            "UPDATE accounts SET owner = 'e0000000-0000-0000-0000-00000000000e',
            version = version + 1 WHERE number = '3'"
                .to_owned(),
            guard,
        ),
        (
            "a currency exchanged",
            "UPDATE accounts SET currency = 'USD', version = version + 1
            WHERE number = '1'"
                .to_owned(),
            foreign,
        ),
        (
            "more held than is there",
            "UPDATE accounts SET held = 5000, version = version + 1 WHERE
            number = '1'"
                .to_owned(),
            check,
        ),
        (
            "an account that is there already, in another part",
            "INSERT INTO accounts (part, id, owner, currency, bank, number, opened_at, head_hash,
                last_booked_at, changed_at)
            SELECT 1 - part, id, owner, currency, bank, number, opened_at, head_hash, opened_at,
                opened_at FROM accounts WHERE number = '1'"
                .to_owned(),
            unique,
        ),
        (
            "an account that was changed at no time",
            "UPDATE accounts SET changed_at = 'infinity', version = version + 1".to_owned(),
            check,
        ),
        (
            "a version that none can follow",
            "UPDATE accounts SET version = 9223372036854775807".to_owned(),
            check,
        ),
        (
            "a key of no time",
            "INSERT INTO keys SELECT part, scope, 'k2', fingerprint, 'infinity', transaction_id,
            NULL, NULL, NULL, NULL FROM keys"
                .to_owned(),
            check,
        ),
        (
            "a credit limit",
            "UPDATE accounts SET overdraft_limit = 1000, version = version + 1".to_owned(),
            guard,
        ),
        (
            "a balance that a trigger forges after the guards",
            "CREATE FUNCTION pg_temp.forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                NEW.balance := NEW.balance + 1; NEW.credit_total := NEW.credit_total + 1;
                RETURN NEW;
            END $$;
            CREATE TRIGGER zz BEFORE UPDATE ON accounts FOR EACH ROW
                EXECUTE FUNCTION pg_temp.forge();
            UPDATE accounts SET version = version + 1 WHERE number = '1'"
                .to_owned(),
            guard,
        ),
        (
            "something held that is no number",
            "UPDATE accounts SET held = 'NaN', version = version + 1".to_owned(),
            check,
        ),
        (
            "a settlement account of a customer",
            "INSERT INTO accounts (part, id, owner, currency,
            bank, number,
            opened_at, head_hash, last_booked_at, changed_at)
            SELECT part, '00000000-0000-0000-0000-0000000000ff', owner, currency, bank, '9',
            opened_at, head_hash, opened_at, opened_at FROM accounts WHERE number =
                '1'"
            .to_owned(),
            check,
        ),
    ]
}

/// What goes through where the tables are distributed, as the guards that compare rows are not
/// there, and is found by `verify`.
const FOUND_AFTERWARDS_ON_CITUS: [&str; 10] = [
    "a wrong sum",
    "a credit of another transaction",
    "a credit of another kind",
    "a time that goes back",
    "credits that do not add up",
    "credits that do not count up",
    "history beyond the head",
    "a head with another hash",
    "a head with other totals",
    "an account that is there already, in another part",
];

/// Every right on the tables.
const INTRUDER: [&str; 3] = [
    "DO $$ BEGIN CREATE ROLE tongjang_test_intruder LOGIN;
        EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    "GRANT USAGE ON SCHEMA tongjang TO tongjang_test_intruder",
    "GRANT ALL ON tongjang.ledger, tongjang.accounts, tongjang.account_numbers, tongjang.entries,
        tongjang.status_changes, tongjang.keys TO tongjang_test_intruder",
];

#[test]
fn the_database_refuses_a_broken_book_whoever_writes_it() {
    let ledger = ledger();
    RUNTIME.block_on(async {
        let owner = session(&ledger, None).await;
        for statement in INTRUDER {
            owner.batch_execute(statement).await.unwrap();
        }
        let before = everything(&owner).await;
        for role in ["tongjang_app", "tongjang_test_intruder"] {
            let client = session(&ledger, Some(role)).await;
            let mut wrong = Vec::new();
            for (name, sql, code) in attacks() {
                client.batch_execute("BEGIN").await.unwrap();
                let refused = client.batch_execute(&sql).await.err();
                client.batch_execute("ROLLBACK").await.unwrap();
                let state = refused.as_ref().and_then(|error| error.code()).map(|code| code.code());
                if !is_as_expected(name, role, state, code) {
                    let said = refused.as_ref().map_or("it went through".to_owned(), |error| {
                        format!("{:?}", error.as_db_error().map(|e| e.message().to_owned()))
                    });
                    wrong.push(format!("{name}: {state:?}, not {code}: {said}"));
                }
            }
            assert!(wrong.is_empty(), "as {role}:\n{}", wrong.join("\n"));
        }
        assert_eq!(everything(&owner).await, before);
        // Were the sound form of the booking refused as well, the attacks would have shown nothing.
        let client = session(&ledger, Some("tongjang_app")).await;
        client.batch_execute(&booking(&[], &[])).await.unwrap();
        assert_ne!(everything(&owner).await, before);
    });
}

fn is_as_expected(name: &str, role: &str, state: Option<&str>, code: &str) -> bool {
    if citus() && FOUND_AFTERWARDS_ON_CITUS.contains(&name) {
        return state.is_none();
    }
    // There a guard stands for rights on single columns, and comes before a check; and keys and
    // checks stand for the trigger that holds what one statement adds to each other. Others cannot
    // make triggers of their own.
    let guarded = citus() && ["23000", "23503", "23514", "XX000"].map(Some).contains(&state);
    state == Some(code) || guarded || (role == "tongjang_app" && state == Some("42501"))
}

#[test]
fn what_a_distributed_database_cannot_refuse_is_found_by_verify() {
    if !citus() {
        return;
    }
    for name in FOUND_AFTERWARDS_ON_CITUS {
        let ledger = ledger();
        verify::verify(&ledger.postgres, |_| ()).unwrap();
        let (_, sql, _) = attacks().into_iter().find(|(other, ..)| *other == name).unwrap();
        RUNTIME.block_on(async {
            let client = session(&ledger, Some("tongjang_app")).await;
            client.batch_execute(&sql).await.unwrap();
        });
        let found = verify::verify(&ledger.postgres, |_| ());
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{name}: {found:?}");
    }
}
