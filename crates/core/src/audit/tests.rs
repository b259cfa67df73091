//! The audit on a small ledger: that it passes it, and finds each thing that is put wrong in it.
//! Faults in single fields of entries are sown by `tests/properties.rs`.

use super::*;
use crate::account::Standing;
use crate::test_ledger::{ALICE, BOB, TestLedger, deposit, keyed, open, transfer, withdraw};
use crate::{Book, Caller, Command, Hash, Memo, Metadata, Rejection, Request, chain};

/// Two accounts; a deposit of 1000, a withdrawal of 300 under a key, a transfer of 200.
fn ledger() -> (TestLedger, AccountId, AccountId) {
    let (mut ledger, a, b) = TestLedger::with_two_accounts();
    ledger.request(&keyed(ALICE, "k1", withdraw(a, 300)));
    ledger.request(&keyed(ALICE, "k2", withdraw(a, 9999)));
    ledger.ok(ALICE, transfer(a, b, 200));
    (ledger, a, b)
}

fn audit(events: &[Event]) -> Result<Audit, Fault> {
    let mut audit = Audit::new();
    events.iter().try_for_each(|event| audit.check(event)).map(|()| audit)
}

fn fault(events: &[Event]) -> What {
    audit(events).expect_err("the audit must find it").what
}

fn booked(event: &mut Event) -> &mut Booked {
    match event {
        Event::Booked(booked) => booked,
        other => panic!("not booked: {other:?}"),
    }
}

#[test]
fn a_sound_ledger_passes_and_is_summed_up() {
    let (ledger, _, _) = ledger();
    let summary = audit(&ledger.events).unwrap().finish(ledger.book.accounts()).unwrap();
    let won = CurrencySummary {
        currency: Currency::KRW,
        accounts: 2,
        transactions: 3,
        customer_balance: Balance::new(700),
        settlement_balance: Balance::new(-700),
    };
    let expected =
        AuditSummary { events: 6, accounts: 3, transactions: 3, entries: 6, currencies: vec![won] };
    assert_eq!(summary, expected);
}

#[test]
fn every_figure_kept_apart_is_compared() {
    let (ledger, a, _) = ledger();
    let sound = ledger.account(a);
    let one = Balance::new(1);
    let more = |balance: Balance| balance.checked_add(one).unwrap();
    let change = |change: &dyn Fn(&mut Standing)| {
        let mut standing = sound.standing().clone();
        change(&mut standing);
        let wrong = Account::at(sound.opened().clone(), standing).expect("plausible by itself");
        let rest = ledger.book.accounts().filter(|account| account.id() != a);
        let found = audit(&ledger.events).unwrap().finish(rest.chain([&wrong])).unwrap_err();
        assert_eq!((found.event, found.account), (None, Some(a)));
        match found.what {
            What::Differs(field) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change(&|at| at.status = Status::Frozen), "status");
    assert_eq!(change(&|at| at.credit_total = more(at.credit_total)), "credit total");
    assert_eq!(change(&|at| at.debit_total = more(at.debit_total)), "debit total");
    assert_eq!(change(&|at| at.held = one), "held amount");
    assert_eq!(change(&|at| at.overdraft_limit = one), "overdraft limit");
    assert_eq!(change(&|at| at.entry_count -= 1), "entry count");
    assert_eq!(change(&|at| at.credit_count += 1), "credit count");
    assert_eq!(change(&|at| at.head_hash = Hash::default()), "head hash");
    assert_eq!(
        change(&|at| at.last_booked_at = at.last_booked_at.next()),
        "time of the newest entry"
    );
    assert_eq!(change(&|at| at.version += 1), "version");
}

#[test]
fn a_missing_and_a_superfluous_account_are_faults() {
    let (ledger, a, _) = ledger();
    let without = ledger.book.accounts().filter(|account| account.id() != a);
    let found = audit(&ledger.events).unwrap().finish(without).unwrap_err();
    assert_eq!(found, Fault::on(a, What::MissingAccount));

    let twice = ledger.book.accounts().chain([ledger.account(a)]);
    let found = audit(&ledger.events).unwrap().finish(twice).unwrap_err();
    assert_eq!(found, Fault::on(a, What::UnknownAccount));
}

#[test]
fn the_same_key_may_not_stand_for_two_events() {
    let (mut ledger, a, _) = TestLedger::with_two_accounts();
    ledger.request(&keyed(ALICE, "k1", deposit(a, 1)));
    ledger.request(&keyed(ALICE, "k2", deposit(a, 2)));
    let mut events = ledger.events;
    let key = events[3].key().cloned();
    booked(&mut events[4]).key = key;
    assert_eq!(fault(&events), What::KeyTwice);
    // Without the keys, what is left of it is that the request was another one.
    let mut blind = Audit::new().without_keys();
    let found = events.iter().try_for_each(|event| blind.check(event)).unwrap_err();
    assert_eq!(found.what, What::Fingerprint);
}

#[test]
fn metadata_under_a_key_is_covered_by_the_fingerprint() {
    let (mut ledger, _, _) = ledger();
    let pair = ("order".into(), "9".into());
    booked(&mut ledger.events[3]).transaction.metadata = Metadata::new(vec![pair]).unwrap();
    assert_eq!(fault(&ledger.events), What::Fingerprint);
}

#[test]
fn only_refusals_of_the_business_are_kept() {
    let (mut ledger, _, _) = ledger();
    let Event::Refused(refused) = &mut ledger.events[4] else { panic!("a refusal") };
    refused.rejection = Rejection::NotAccountOwner;
    assert_eq!(fault(&ledger.events), What::KeptRefusal("not-account-owner"));
}

#[test]
fn a_number_is_taken_once_in_its_bank() {
    let mut ledger = TestLedger::default();
    ledger.open(ALICE, Currency::KRW, "110-A");
    let mut other = TestLedger::default();
    other.open(BOB, Currency::KRW, "999");
    other.open(BOB, Currency::KRW, "1-1-0a");
    let stray = other.events.pop().unwrap();
    assert_eq!(fault(&[ledger.events.remove(0), stray]), What::NumberTaken);
}

#[test]
fn the_first_account_of_a_currency_brings_its_settlement_account() {
    let (mut ledger, _, _) = ledger();
    let Event::Opened(opening) = &mut ledger.events[0] else { panic!("an opening") };
    let settlement = opening.settlement.take();
    assert_eq!(fault(&ledger.events), What::NoSettlement);
    let Event::Opened(opening) = &mut ledger.events[1] else { panic!("an opening") };
    opening.settlement = settlement;
    let (_, later) = ledger.events.split_first().unwrap();
    assert_eq!(fault(later), What::Opening);
}

#[test]
fn nothing_is_booked_on_an_account_that_is_not_open() {
    let operator = |command| Request {
        caller: Caller::operator(BOB),
        ..crate::test_ledger::request(BOB, command)
    };
    let (mut ledger, a, b) = TestLedger::with_two_accounts();
    let mut events = ledger.events.clone();
    ledger.ok(ALICE, transfer(a, b, 1));
    let transfer = ledger.events.pop().unwrap();
    for (account, status) in [(a, Status::Frozen), (b, Status::Frozen), (b, Status::Closed)] {
        let (mut ledger, _, _) = TestLedger::with_two_accounts();
        ledger.request(&operator(Command::ChangeStatus { account, status }));
        events.truncate(3);
        events.extend(ledger.events.pop());
        events.push(transfer.clone());
        let mut audit = Audit::new().ordered_by_account();
        let found = events.iter().try_for_each(|event| audit.check(event)).unwrap_err();
        assert_eq!((found.account, found.what), (Some(account), What::NotOpen(status)));
    }
}

#[test]
fn an_account_with_money_is_not_closed_and_a_closed_one_stays_so() {
    let (mut ledger, a, _) = ledger();
    let at = ledger.events[5].at().next();
    let close = StatusChanged { account: a, status: Status::Closed, at, key: None };
    ledger.events.push(Event::StatusChanged(close));
    assert_eq!(fault(&ledger.events), What::StatusNotAllowed(Status::Closed));

    let mut ledger = TestLedger::default();
    let account = ledger.open(ALICE, Currency::KRW, "1");
    ledger.ok(ALICE, Command::ChangeStatus { account, status: Status::Closed });
    let at = ledger.events[1].at().next();
    let reopen = StatusChanged { account, status: Status::Open, at, key: None };
    ledger.events.push(Event::StatusChanged(reopen));
    assert_eq!(fault(&ledger.events), What::StatusNotAllowed(Status::Open));
}

#[test]
fn more_than_there_is_cannot_be_taken_out() {
    // The withdrawal of 300 is true to every figure, but the deposit before it was of 200.
    let booked_after = |first: i128| {
        let mut ledger = TestLedger::default();
        let account = ledger.open(ALICE, Currency::KRW, "1");
        ledger.ok(ALICE, deposit(account, first));
        ledger
    };
    let account = booked_after(200).book.accounts().find(|a| !a.opened().is_settlement()).cloned();
    let account = account.unwrap();
    let limit = Standing { overdraft_limit: Balance::new(100), ..account.standing().clone() };
    let mut ledger = booked_after(200);
    *ledger.book_account(account.id()) = Account::at(account.opened().clone(), limit).unwrap();
    ledger.ok(ALICE, withdraw(account.id(), 300));
    let found = audit(&ledger.events).unwrap_err();
    assert_eq!((found.event, found.what), (Some(3), What::Overdrawn));
}

/// What the audit finds where the ledger's last transaction was changed by one who knows how to
/// make hashes, so that the chain holds and nothing but the rule itself is broken.
fn forged(change: impl Fn(&mut Transaction, &[Event])) -> What {
    let (mut ledger, _, _) = ledger();
    let Some(Event::Booked(mut last)) = ledger.events.pop() else { panic!("a transfer") };
    change(&mut last.transaction, &ledger.events);
    let Transaction { id, kind, booked_at, .. } = last.transaction;
    for entry in &mut last.transaction.entries {
        let booked = ledger.events.iter().rev().filter_map(|event| match event {
            Event::Booked(booked) => Some(&booked.transaction.entries),
            _ => None,
        });
        let before = booked.flatten().find(|before| before.account == entry.account);
        let opened = ledger.book.account(entry.account).unwrap().opened();
        let head = before.map_or_else(|| chain::genesis(opened), |before| before.hash);
        entry.hash = chain::link(head, id, kind, booked_at, entry);
    }
    ledger.events.push(Event::Booked(last));
    fault(&ledger.events)
}

fn set_time(transaction: &mut Transaction, at: Timestamp) {
    transaction.booked_at = at;
    transaction.id = crate::TransactionId::new(at, 0);
}

#[test]
fn a_broken_rule_is_found_though_every_hash_is_right() {
    assert_eq!(forged(|last, before| set_time(last, before[4].at())), What::EventTime);
    let id = crate::TransactionId::from_bits(1);
    assert_eq!(forged(|last, _| last.id = id), What::IdTime);
    let unequal = forged(|last, _| {
        last.entries[1].amount = crate::test_ledger::amount(201);
        last.entries[1].balance = Balance::new(201);
        last.entries[1].credit_total = Balance::new(201);
    });
    assert_eq!(unequal, What::Unbalanced);
    assert_eq!(forged(|last, _| last.entries.reverse()), What::Unbalanced);
    assert_eq!(forged(|last, _| last.amount = crate::test_ledger::amount(1)), What::Amount);
    assert_eq!(forged(|last, _| last.entries[0].counterparty = None), What::Counterparty);
    assert_eq!(forged(|last, _| last.memo = Memo::EMPTY), What::Memo);
    assert_eq!(forged(|last, _| last.kind = Kind::Reversal), What::UnknownKind(Kind::Reversal));
    let no_deposit = forged(|last, _| {
        last.kind = Kind::Deposit;
        last.entries[1].counterparty = None;
    });
    assert_eq!(no_deposit, What::WrongSide);
    let to_itself = forged(|last, _| last.entries[1].account = last.entries[0].account);
    assert_eq!(to_itself, What::WrongSide);
    let skipped = forged(|last, _| last.entries[0].number = crate::EntryNumber::after(7));
    assert_eq!(skipped, What::Number);
    let dollars = Currency::new("USD").unwrap();
    assert_eq!(forged(|last, _| last.currency = dollars), What::Currency);
}

#[test]
fn on_one_account_times_rise_even_with_several_tellers() {
    let (ledger, a, _) = ledger();
    let newest = ledger.account(a).standing().last_booked_at;
    let change = StatusChanged { account: a, status: Status::Frozen, at: newest, key: None };
    let mut audit = Audit::new().ordered_by_account();
    ledger.events.iter().try_for_each(|event| audit.check(event)).unwrap();
    let found = audit.check(&Event::StatusChanged(change)).unwrap_err();
    assert_eq!((found.account, found.what), (Some(a), What::EntryTime));

    let (mut ledger, a, _) = TestLedger::with_two_accounts();
    ledger.ok(ALICE, deposit(a, 1));
    let first = ledger.events[2].at();
    set_time(&mut booked(&mut ledger.events[3]).transaction, first);
    let mut audit = Audit::new().ordered_by_account();
    let found = ledger.events.iter().try_for_each(|event| audit.check(event)).unwrap_err();
    assert_eq!(found.what, What::EntryTime);
}

#[test]
fn a_settlement_account_is_neither_opened_by_itself_nor_frozen() {
    let (mut ledger, _, _) = ledger();
    let account = AccountId::settlement(Currency::KRW, 0);
    let at = ledger.events[5].at().next();
    let freeze = StatusChanged { account, status: Status::Frozen, at, key: None };
    ledger.events.push(Event::StatusChanged(freeze));
    assert_eq!(fault(&ledger.events), What::StatusNotAllowed(Status::Frozen));

    let Event::Opened(opening) = &mut ledger.events[1] else { panic!("an opening") };
    Arc::make_mut(&mut opening.account).owner = UserId::LEDGER;
    assert_eq!(fault(&ledger.events), What::Opening);
}

#[test]
fn several_tellers_may_overlap_in_time_but_not_on_one_account() {
    let mut ledger = TestLedger::default();
    let a = ledger.open(ALICE, Currency::KRW, "1");
    ledger.ok(ALICE, open(ALICE, Currency::new("USD").unwrap(), "2"));
    ledger.ok(ALICE, deposit(a, 1));
    ledger.events.swap(1, 2);
    assert_eq!(fault(&ledger.events), What::EventTime);
    let mut audit = Audit::new().ordered_by_account();
    ledger.events.iter().try_for_each(|event| audit.check(event)).unwrap();
    audit.finish(ledger.book.accounts()).unwrap();
}

/// Three openings, the second and third at one time.
fn two_at_once() -> Vec<Event> {
    let mut ledger = TestLedger::default();
    for (currency, number) in [("KRW", "1"), ("USD", "2"), ("EUR", "3")] {
        ledger.ok(ALICE, open(ALICE, Currency::new(currency).unwrap(), number));
    }
    let at = ledger.events[1].at();
    set_opening(&mut ledger.events[2], at);
    ledger.events
}

fn set_opening(event: &mut Event, at: Timestamp) {
    let Event::Opened(opening) = event else { panic!("an opening") };
    for opened in opening.settlement.iter_mut().chain([&mut opening.account]) {
        Arc::make_mut(opened).opened_at = at;
    }
}

#[test]
fn only_what_was_copied_may_share_its_time() {
    let events = two_at_once();
    let check = |copied: u64| {
        let mut audit = Audit::new().copied(copied);
        events.iter().try_for_each(|event| audit.check(event))
    };
    for copied in [0, 2] {
        let found = check(copied).unwrap_err();
        assert_eq!((found.event, found.what), (Some(3), What::EventTime), "{copied} copied");
    }
    check(3).unwrap();

    let mut earlier = two_at_once();
    let first = earlier[0].at();
    set_opening(&mut earlier[2], first);
    let mut audit = Audit::new().copied(3);
    let found = earlier.iter().try_for_each(|event| audit.check(event)).unwrap_err();
    assert_eq!(found.what, What::EventTime);
}

#[test]
fn a_fault_says_where_it_is_in_a_sentence() {
    let (mut ledger, a, _) = ledger();
    booked(&mut ledger.events[3]).transaction.entries[0].balance = Balance::new(701);
    let found = audit(&ledger.events).unwrap_err();
    assert_eq!(
        found.to_string(),
        format!(
            "event 4, account {a}, entry 2: its balance is not the one before it plus or minus \
             its amount"
        )
    );
    assert_eq!(
        Fault::from(What::NotZero(Currency::KRW)).to_string(),
        "the balances in KRW do not sum to zero"
    );
}
