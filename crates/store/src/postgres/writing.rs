//! What a batch did, as rows: everything is added by one statement a table, and entries by the one
//! that moves their accounts' heads on, so that the database never sees the one without the other.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};
use tongjang_core::{AccountId, Entry, Event, Opened, Transaction};

use super::Engine;
use super::book::PostgresBook;
use super::by_part::ByPart;
use super::columns::{self, bigint};
use super::places::Parts;
use super::refusals;
use super::values::{Instant, Numeric, Uuid};

/// The statements that write a batch.
pub(super) struct Writing {
    accounts: Statement,
    numbers: Statement,
    entries_and_heads: Statement,
    heads: Statement,
    changes: Statement,
    keys: Statement,
    distributed: Option<Distributed>,
}

/// The statements where the tables are distributed: each is about one part.
struct Distributed {
    accounts: ByPart,
    numbers: ByPart,
    entries: ByPart,
    heads: ByPart,
    changes: ByPart,
    keys: ByPart,
}

const ACCOUNTS: &str = "INSERT INTO tongjang.accounts (part, id, owner, currency, bank, number,
        number_made, opened_at, last_booked_at, changed_at, head_hash)
    SELECT part, id, owner, currency, bank, number, number_made, at, at, at, hash
    FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
            $7::boolean[], $8::timestamptz[], $9::bytea[])
        AS t (part, id, owner, currency, bank, number, number_made, at, hash)";

const NUMBERS: &str = "INSERT INTO tongjang.account_numbers (part, bank, bare, account_id)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[])
        AS t (part, bank, bare, account_id)";

const ENTRIES: &str = "INSERT INTO tongjang.entries (part, account_id, number, previous_number,
        first_of, currency, kind, direction, transaction_id, booked_at, amount, balance_before,
        balance, credit_count, credit_total, counterparty_id, memo, metadata, hash)
    SELECT part, account_id, number, previous_number,
        CASE WHEN number = 1 THEN account_id END, currency, kind, direction, transaction_id,
        booked_at, amount, balance_before, balance, credit_count, credit_total, counterparty_id,
        memo, metadata, hash
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[],
            $6::smallint[], $7::smallint[], $8::uuid[], $9::timestamptz[], $10::numeric[],
            $11::numeric[], $12::numeric[], $13::bigint[], $14::numeric[], $15::uuid[],
            $16::text[], $17::text[], $18::bytea[])
        AS t (part, account_id, number, previous_number, currency, kind, direction, transaction_id,
            booked_at, amount, balance_before, balance, credit_count, credit_total,
            counterparty_id, memo, metadata, hash)";

/// Moves heads on; its parameters begin with the number `first`.
fn heads(first: usize) -> String {
    let types = [
        "smallint",
        "uuid",
        "bigint",
        "text",
        "bigint",
        "numeric",
        "bigint",
        "numeric",
        "bytea",
        "timestamptz",
        "timestamptz",
        "bigint",
    ];
    let values = types.iter().zip(first..).map(|(kind, n)| format!("${n}::{kind}[]"));
    let values = values.collect::<Vec<_>>().join(", ");
    format!(
        "UPDATE tongjang.accounts AS a
            SET status = n.status, entry_count = n.entry_count,
                head_number = nullif(n.entry_count, 0), balance = n.balance,
                credit_count = n.credit_count, credit_total = n.credit_total,
                head_hash = n.head_hash, last_booked_at = n.last_booked_at,
                changed_at = n.changed_at, version = n.version
            FROM unnest({values})
                AS n (part, id, version_before, status, entry_count, balance, credit_count,
                    credit_total, head_hash, last_booked_at, changed_at, version)
            WHERE a.part = n.part AND a.id = n.id AND a.version = n.version_before"
    )
}

/// Adds entries and moves the heads of their accounts on.
fn entries_and_heads() -> String {
    format!("WITH booked AS ({ENTRIES}) {}", heads(19))
}

const CHANGES: &str = "INSERT INTO tongjang.status_changes
        (part, account_id, version, status, changed_at)
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[])
        AS t (part, account_id, version, status, changed_at)";

const KEYS: &str = "INSERT INTO tongjang.keys (part, scope, key, fingerprint, happened_at,
        transaction_id, opened_id, changed_id, refusal, version)
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[],
            $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::bigint[])
        AS t (part, scope, key, fingerprint, happened_at, transaction_id, opened_id, changed_id,
            refusal, version)";

impl Writing {
    pub(super) async fn prepare(client: &Client, engine: Engine) -> Result<Self, Error> {
        let distributed = match engine.is_distributed() {
            true => Some(Distributed::prepare(client, engine).await?),
            false => None,
        };
        Ok(Self {
            accounts: client.prepare(ACCOUNTS).await?,
            numbers: client.prepare(NUMBERS).await?,
            entries_and_heads: client.prepare(&entries_and_heads()).await?,
            heads: client.prepare(&heads(1)).await?,
            changes: client.prepare(CHANGES).await?,
            keys: client.prepare(KEYS).await?,
            distributed,
        })
    }

    /// Adds `rows`. All statements are sent at once.
    pub(super) async fn write(&self, client: &Client, rows: &Rows<'_>) -> Result<Written, Error> {
        if let Some(distributed) = &self.distributed {
            return distributed.write(client, rows).await;
        }
        let Rows { accounts, numbers, entries, heads, changes, keys } = rows;
        let (statement, values) = match entries.values() {
            none if none.is_empty() => (&self.heads, heads.values()),
            entries => (&self.entries_and_heads, [entries, heads.values()].concat()),
        };
        let (_, _, moved, _, _) = tokio::try_join!(
            biased;
            add(client, &self.accounts, accounts.values()),
            add(client, &self.numbers, numbers.values()),
            add(client, statement, values),
            add(client, &self.changes, changes.values()),
            add(client, &self.keys, keys.values()),
        )?;
        Ok(Written { all_heads: moved == heads.part.len() as u64 })
    }
}

impl Distributed {
    async fn prepare(client: &Client, engine: Engine) -> Result<Self, Error> {
        let adding = async |text: &str, columns| {
            ByPart::prepare(client, engine, ("p.part", columns), |only| through_part(text, only))
                .await
        };
        let moving = |only: &str| format!("{} {only}", heads(1));
        Ok(Self {
            accounts: adding(ACCOUNTS, 9).await?,
            numbers: adding(NUMBERS, 4).await?,
            entries: adding(&with_whole_chain(ENTRIES), 18).await?,
            heads: ByPart::prepare(client, engine, ("a.part", 12), moving).await?,
            changes: adding(CHANGES, 5).await?,
            keys: adding(KEYS, 10).await?,
        })
    }

    /// Adds `rows`, in the order in which foreign keys lead from one table to another.
    async fn write(&self, client: &Client, rows: &Rows<'_>) -> Result<Written, Error> {
        let Rows { accounts, numbers, entries, heads, changes, keys } = rows;
        self.accounts.execute(client, &accounts.part, &accounts.values()).await?;
        self.numbers.execute(client, &numbers.part, &numbers.values()).await?;
        self.entries.execute(client, &entries.part, &entries.values()).await?;
        let moved = self.heads.execute(client, &heads.part, &heads.values()).await?;
        self.changes.execute(client, &changes.part, &changes.values()).await?;
        self.keys.execute(client, &keys.part, &keys.values()).await?;
        Ok(Written { all_heads: moved == heads.part.len() as u64 })
    }
}

/// The statement `insert` for the rows of one part, which its node takes as it is: rows that come
/// from no table would be copied there one table at a time, and what is refused then has no code.
fn through_part(insert: &str, only: &str) -> String {
    let joined = insert.replacen("FROM unnest", "FROM tongjang.parts AS p JOIN unnest", 1);
    format!("{joined} USING (part) WHERE true {only}")
}

/// The statement that adds entries, with every one of them naming the one before it: no trigger
/// sees there what a statement adds, so the foreign key is all that holds the chain.
fn with_whole_chain(insert: &str) -> String {
    insert.replacen(
        "number, previous_number,\n        CASE",
        "number, nullif(number - 1, 0),\n        CASE",
        1,
    )
}

/// What a batch wrote.
pub(super) struct Written {
    /// Whether every account still was where it was locked.
    pub(super) all_heads: bool,
}

async fn add(client: &Client, statement: &Statement, values: Values<'_>) -> Result<u64, Error> {
    if values.is_empty() { Ok(0) } else { client.execute(statement, &values).await }
}

/// The columns of some rows; none, if there is no row.
type Values<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// The rows of a batch, a column a field.
#[derive(Default)]
pub(super) struct Rows<'a> {
    accounts: Accounts<'a>,
    numbers: Numbers<'a>,
    entries: Entries<'a>,
    heads: Heads<'a>,
    changes: Changes,
    keys: Keys<'a>,
}

macro_rules! columns {
    ($name:ident $(<$life:lifetime>)? { $($column:ident: $kind:ty),* $(,)? }) => {
        #[derive(Default)]
        struct $name $(<$life>)? { $($column: Vec<$kind>),* }

        impl $(<$life>)? $name $(<$life>)? {
            fn values(&self) -> Values<'_> {
                if self.part.is_empty() { Vec::new() } else { vec![$(&self.$column),*] }
            }
        }
    };
}

columns!(Accounts<'a> {
    part: i16, id: Uuid, owner: Uuid, currency: &'a str, bank: Option<&'a str>,
    number: Option<&'a str>, number_made: bool, opened_at: Instant, hash: Vec<u8>,
});
columns!(Numbers<'a> { part: i16, bank: &'a str, bare: String, account: Uuid });
columns!(Entries<'a> {
    part: i16, account: Uuid, number: i64, previous_number: Option<i64>, currency: &'a str,
    kind: i16, direction: i16, transaction: Uuid, booked_at: Instant, amount: Numeric,
    balance_before: Numeric, balance: Numeric, credit_count: i64, credit_total: Numeric,
    counterparty: Option<Uuid>, memo: &'a str, metadata: Option<String>, hash: &'a [u8],
});
columns!(Heads<'a> {
    part: i16, id: Uuid, version_before: i64, status: &'static str, entry_count: i64,
    balance: Numeric, credit_count: i64, credit_total: Numeric, head_hash: &'a [u8],
    last_booked_at: Instant, changed_at: Instant, version: i64,
});
columns!(Changes {
    part: i16, account: Uuid, version: i64, status: &'static str, changed_at: Instant,
});
columns!(Keys<'a> {
    part: i16, scope: Uuid, key: &'a str, fingerprint: &'a [u8], happened_at: Instant,
    transaction: Option<Uuid>, opened: Option<Uuid>, changed: Option<Uuid>,
    refusal: Option<String>, version: Option<i64>,
});

impl<'a> Rows<'a> {
    /// The rows of everything that `book` did.
    pub(super) fn of(book: &'a PostgresBook, parts: Parts) -> Self {
        let mut rows = Self::default();
        // Several changes of one account are numbered back from the version it has now.
        let mut versions: BTreeMap<AccountId, u64> = BTreeMap::new();
        for held in book.held.values() {
            versions.insert(held.account.id(), held.locked_at.unwrap_or(1));
        }
        let mut step = |id: &AccountId| {
            let version = versions.get_mut(id).expect("what a batch does is on its accounts");
            *version += 1;
            *version
        };
        let mut entries = Vec::new();
        for event in &book.events {
            let mut changed = None;
            match event {
                Event::Opened(opening) => {
                    if let Some(settlement) = &opening.settlement {
                        rows.open(book, settlement, false, parts);
                    }
                    rows.open(book, &opening.account, opening.number_made, parts);
                }
                Event::Booked(booked) => {
                    for entry in &booked.transaction.entries {
                        step(&entry.account);
                    }
                    entries.extend(sides(book, &booked.transaction));
                }
                Event::StatusChanged(change) => {
                    let version = bigint(step(&change.account));
                    let rows = &mut rows.changes;
                    rows.part.push(part_in(book, change.account));
                    rows.account.push(Uuid(change.account.bits()));
                    rows.version.push(version);
                    rows.status.push(change.status.as_str());
                    rows.changed_at.push(Instant(change.at));
                    changed = Some(version);
                }
                Event::Refused(_) => {}
            }
            rows.key(event, changed, parts);
        }
        // Those of one account are held to each other, and neighbours in the indexes are added one
        // after another.
        entries.sort_by_key(|side| (side.part, side.entry.account));
        rows.entries(&entries);
        rows.move_on(book);
        rows
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.id.is_empty()
            && self.entries.part.is_empty()
            && self.keys.part.is_empty()
            && self.changes.part.is_empty()
    }

    fn open(&mut self, book: &PostgresBook, opened: &'a Opened, number_made: bool, parts: Parts) {
        let rows = &mut self.accounts;
        rows.part.push(book.part_of(opened));
        rows.id.push(Uuid(opened.id.bits()));
        rows.owner.push(Uuid(opened.owner.bits()));
        rows.currency.push(opened.currency.code());
        let place = opened.place.as_ref();
        rows.bank.push(place.map(|(bank, _)| bank.as_str()));
        rows.number.push(place.map(|(_, number)| number.as_str()));
        rows.number_made.push(number_made);
        rows.opened_at.push(Instant(opened.opened_at));
        rows.hash.push(tongjang_core::chain::genesis(opened).bytes().to_vec());
        if let Some((bank, number)) = place {
            self.numbers.part.push(parts.of_number(bank, number));
            self.numbers.bank.push(bank.as_str());
            self.numbers.bare.push(number.bare());
            self.numbers.account.push(Uuid(opened.id.bits()));
        }
    }

    /// Adds `sides`, those of an account one after another.
    fn entries(&mut self, sides: &[Side<'a>]) {
        let rows = &mut self.entries;
        let mut before = None;
        for Side { part, transaction, entry, with_metadata } in sides {
            let (sign, amount) = (columns::sign(entry.direction), entry.amount.minor());
            let number = bigint(entry.number.get());
            let is_first = before.replace(entry.account) != Some(entry.account);
            let metadata = with_metadata.then(|| columns::write_metadata(&transaction.metadata));
            rows.part.push(*part);
            rows.account.push(Uuid(entry.account.bits()));
            rows.number.push(number);
            rows.previous_number.push((is_first && number > 1).then_some(number - 1));
            rows.currency.push(transaction.currency.code());
            rows.kind.push(transaction.kind.byte().into());
            rows.direction.push(sign);
            rows.transaction.push(Uuid(transaction.id.bits()));
            rows.booked_at.push(Instant(transaction.booked_at));
            rows.amount.push(Numeric(amount));
            rows.balance_before.push(Numeric(entry.balance.minor() - i128::from(sign) * amount));
            rows.balance.push(Numeric(entry.balance.minor()));
            rows.credit_count.push(bigint(entry.credit_count));
            rows.credit_total.push(Numeric(entry.credit_total.minor()));
            rows.counterparty.push(entry.counterparty.map(|id| Uuid(id.bits())));
            rows.memo.push(entry.memo.as_str());
            rows.metadata.push(metadata.flatten());
            rows.hash.push(entry.hash.bytes());
        }
    }

    fn key(&mut self, event: &'a Event, version: Option<i64>, parts: Parts) {
        let Some(used) = event.key() else { return };
        let rows = &mut self.keys;
        rows.part.push(parts.of_owner(used.scope));
        rows.scope.push(Uuid(used.scope.bits()));
        rows.key.push(used.key.as_str());
        rows.fingerprint.push(used.fingerprint.bytes());
        rows.happened_at.push(Instant(event.at()));
        let (mut transaction, mut opened, mut changed, mut refusal) = (None, None, None, None);
        match event {
            Event::Booked(booked) => transaction = Some(Uuid(booked.transaction.id.bits())),
            Event::Opened(opening) => opened = Some(Uuid(opening.account.id.bits())),
            Event::StatusChanged(change) => changed = Some(Uuid(change.account.bits())),
            Event::Refused(refused) => {
                refusal = Some(refusals::write(&refused.rejection, &refused.command));
            }
        }
        rows.transaction.push(transaction);
        rows.opened.push(opened);
        rows.changed.push(changed);
        rows.refusal.push(refusal);
        rows.version.push(version);
    }

    /// The heads of the accounts that changed, in the order in which they were locked.
    fn move_on(&mut self, book: &'a PostgresBook) {
        let moved =
            book.held.values().filter(|held| held.account.version() != held.locked_at.unwrap_or(1));
        let mut moved: Vec<_> = moved.collect();
        moved.sort_by_key(|held| (held.part, held.account.id()));
        let rows = &mut self.heads;
        for held in moved {
            let (account, at) = (&held.account, held.account.standing());
            rows.part.push(held.part);
            rows.id.push(Uuid(account.id().bits()));
            rows.version_before.push(bigint(held.locked_at.unwrap_or(1)));
            rows.status.push(at.status.as_str());
            rows.entry_count.push(bigint(at.entry_count));
            rows.balance.push(Numeric(account.balance().minor()));
            rows.credit_count.push(bigint(at.credit_count));
            rows.credit_total.push(Numeric(at.credit_total.minor()));
            rows.head_hash.push(at.head_hash.bytes());
            rows.last_booked_at.push(Instant(at.last_booked_at));
            rows.changed_at.push(Instant(held.changed_at));
            rows.version.push(bigint(at.version));
        }
    }
}

/// An entry of the batch, with what it shares with the other side.
struct Side<'a> {
    part: i16,
    transaction: &'a Transaction,
    entry: &'a Entry,
    /// Whether the transaction's metadata stands on this side.
    with_metadata: bool,
}

/// The debit and the credit of `transaction`; its metadata stands on the debit.
fn sides<'a>(book: &PostgresBook, transaction: &'a Transaction) -> [Side<'a>; 2] {
    let [debit, credit] = &transaction.entries[..] else {
        unreachable!("a transaction has one debit and one credit")
    };
    [(debit, true), (credit, false)].map(|(entry, with_metadata)| {
        let part = part_in(book, entry.account);
        Side { part, transaction, entry, with_metadata }
    })
}

/// The part of an account of the batch.
fn part_in(book: &PostgresBook, id: AccountId) -> i16 {
    book.held.get(&id).expect("what a batch does is on its accounts").part
}
