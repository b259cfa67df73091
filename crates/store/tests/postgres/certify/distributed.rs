//! Ledgers whose parts are apart: what is booked by one commit keeps to one part where it can, and
//! where it cannot it is in all of its parts or in none.

use std::sync::mpsc::channel;

use tongjang_cluster::{Cluster, citus};
use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Event, Fingerprint,
    IdempotencyKey, Memo, Metadata, Request, Timestamp, UserId,
};
use tongjang_store::postgres::schema::{Layout, migrate};
use tongjang_store::postgres::{Engine, Parts, Profile, verify};
use tongjang_store::{Answer, BundleReply, Reader, StoreError};

use crate::certify::tellers::{Ledger, RUNTIME, new_ledger, target};

const PARTS: u16 = 3;

/// The user whose accounts are in this part.
fn owner(part: u16) -> UserId {
    UserId::from_bits(1 << 64 | u128::from(part))
}

fn request(nth: u64, user: UserId, key: Option<&str>, command: Command) -> Request {
    Request {
        caller: Caller::owner(user),
        at: Timestamp::from_micros(1_795_338_000_000_000 + i64::try_from(nth).unwrap()),
        nonce: nth,
        key: key.map(|key| (IdempotencyKey::new(key).unwrap(), Fingerprint::of(&command))),
        expected_version: None,
        command,
    }
}

fn won(minor: i128) -> Amount {
    Amount::new(minor).unwrap()
}

fn deposit(account: AccountId, minor: i128) -> Command {
    let (memo, metadata) = (Memo::new("").unwrap(), Metadata::EMPTY);
    Command::Deposit { account, amount: won(minor), memo, metadata }
}

fn transfer(from: AccountId, to: AccountId, minor: i128) -> Command {
    let (memo, metadata) = (Memo::new("").unwrap(), Metadata::EMPTY);
    Command::Transfer { from, to, amount: won(minor), memo, to_memo: None, metadata }
}

/// A ledger with an account in each part.
fn ledger() -> (Ledger, Vec<AccountId>) {
    let ledger = Ledger::on(taken_for_distributed(), 1);
    assert_eq!(ledger.postgres.engine(), Engine::Citus);
    let opened = (0..PARTS).map(|part| {
        let command = Command::Open {
            owner: owner(part),
            currency: Currency::KRW,
            bank: Bank::new("088").unwrap(),
            number: AccountNumber::new(&part.to_string()).unwrap(),
            number_made: false,
        };
        let answer = ledger.perform(vec![request(part.into(), owner(part), None, command)]);
        match answer.into_iter().next().unwrap().unwrap().outcome {
            Ok(Event::Opened(opening)) => opening.account.id,
            other => panic!("{other:?}"),
        }
    });
    let opened = opened.collect();
    (ledger, opened)
}

/// A database whose ledger servers take for a distributed one, whether it is one or not.
pub(crate) fn taken_for_distributed() -> tongjang_cluster::Database {
    let database = new_ledger(PARTS);
    if !citus() {
        let statements = "ALTER TABLE tongjang.ledger DISABLE TRIGGER USER;
            UPDATE tongjang.ledger SET engine = 'citus';
            CREATE TABLE tongjang.parts AS
                SELECT n::smallint AS part FROM generate_series(0, 2) AS s (n);
            GRANT SELECT ON tongjang.parts TO tongjang_app;
            GRANT INSERT, UPDATE ON tongjang.accounts TO tongjang_app;
            DROP TRIGGER entries_balance ON tongjang.entries;
            DROP TRIGGER entries_follow ON tongjang.entries";
        Cluster::shared().execute(&database, statements);
    }
    database
}

fn balances(ledger: &Ledger, accounts: &[AccountId]) -> Vec<i128> {
    let reader = ledger.postgres.reader();
    let account = |id: &AccountId| reader.account(*id).unwrap().unwrap().balance().minor();
    accounts.iter().map(account).collect()
}

#[test]
fn a_batch_keeps_to_one_part_and_is_answered_in_its_order() {
    let (ledger, accounts) = ledger();
    let before = ledger.teller.batches();
    // Two of three in the order of the parts, then one that touches two of them.
    let mut requests: Vec<Request> = (0..60)
        .map(|nth: u16| {
            let part = nth % PARTS;
            let minor = i128::from(nth) + 1;
            let command = deposit(accounts[usize::from(part)], minor);
            request(100 + u64::from(nth), owner(part), Some(&format!("k{nth}")), command)
        })
        .collect();
    requests.push(request(200, owner(0), None, transfer(accounts[0], accounts[1], 7)));
    let (tell, told) = channel();
    let reply = BundleReply::Whole(Box::new(move |answers| tell.send(answers).unwrap()));
    ledger.teller.submit_bundle(requests.clone(), reply).unwrap();
    let answers: Vec<Result<Answer, StoreError>> = told.recv().unwrap();
    assert_eq!(ledger.teller.batches() - before, u64::from(PARTS) + 1);
    assert_eq!(answers.len(), requests.len());
    for (answer, request) in answers.into_iter().zip(&requests) {
        let answer = answer.unwrap();
        let Ok(Event::Booked(booked)) = answer.outcome else { panic!("{answer:?}") };
        let named = request.command.accounts();
        let sides = booked.transaction.entries.iter().map(|entry| entry.account);
        let sides: Vec<AccountId> = sides.collect();
        assert!(named.iter().flatten().all(|account| sides.contains(account)), "{request:?}");
    }
    let sum = |part: i128| (0..20).map(|nth| nth * 3 + part + 1).sum::<i128>();
    assert_eq!(balances(&ledger, &accounts), [sum(0) - 7, sum(1) + 7, sum(2)]);
    verify::verify(&ledger.postgres, |_| ()).unwrap();
}

#[test]
fn a_transfer_between_parts_is_in_both_or_in_none() {
    let (ledger, accounts) = ledger();
    let paid = request(100, owner(0), None, deposit(accounts[0], 1_000));
    ledger.perform(vec![paid]).remove(0).unwrap().outcome.unwrap();
    let moved = request(101, owner(0), None, transfer(accounts[0], accounts[1], 300));
    ledger.perform(vec![moved]).remove(0).unwrap().outcome.unwrap();
    assert_eq!(balances(&ledger, &accounts), [700, 300, 0]);
    // The part of the payee, which is locked and written last, refuses its side.
    let statement = "ALTER TABLE tongjang.entries ADD CONSTRAINT no_more
        CHECK (part <> 2 OR direction <> 1) NOT VALID";
    Cluster::shared().execute(ledger.database(), statement);
    let refused = request(102, owner(0), None, transfer(accounts[0], accounts[2], 50));
    let answer = ledger.perform(vec![refused]).remove(0);
    assert!(matches!(answer, Err(StoreError::Database { .. })), "{answer:?}");
    assert_eq!(balances(&ledger, &accounts), [700, 300, 0]);
    verify::verify(&ledger.postgres, |_| ()).unwrap();
}

/// Migrates `database`, or says why not.
fn migrated(database: &tongjang_cluster::Database, citus: bool) -> Result<(), StoreError> {
    RUNTIME.block_on(async {
        let target = target(database);
        let (mut owner, driver) = target.connect("migrate", &Profile::OWNER).await?;
        tokio::spawn(driver);
        let layout = Layout { parts: Parts::new(2), id: 7, citus };
        migrate(&mut owner, layout).await.map(drop)
    })
}

#[test]
fn a_ledger_keeps_the_engine_that_it_was_made_for() {
    let database = new_ledger(2);
    migrated(&database, citus()).unwrap();
    let refused = migrated(&database, !citus()).unwrap_err().to_string();
    let expected =
        if citus() { "distributed by Citus; run `tongjang migrate --citus`" } else { "`citus`" };
    assert!(refused.contains(expected), "{refused}");
    if !citus() {
        let pretending = taken_for_distributed();
        let refused = migrated(&pretending, false).unwrap_err().to_string();
        assert!(refused.contains("distributed by Citus"), "{refused}");
    }
}
