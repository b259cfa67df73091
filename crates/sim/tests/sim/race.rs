//! Readers while the teller writes: whatever they see is consistent at every moment.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;

use tongjang_core::{
    AccountId, AccountNumber, Amount, Balance, Bank, Caller, Command, Currency, Direction, Memo,
    Metadata, Request, Timestamp, TransactionId, UserId, chain,
};
use tongjang_sim::crash::config;
use tongjang_sim::random::Random;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::{Journal, JournalReader};
use tongjang_store::{Answer, EntryFilter, EntryQuery, Order, Reader, Row, Teller, TellerLimits};

const USER: UserId = UserId::from_bits(1);
/// Requests come so far apart that the teller books each at the time it was taken in. So the id
/// of an account is known before it is opened, and one burst may open it and pay into it.
const STEP: i64 = 1_000_000;

struct Writer {
    teller: Teller,
    now: i64,
    accounts: Vec<AccountId>,
}

impl Writer {
    fn request(&mut self, command: Command) -> Request {
        self.now += STEP;
        Request {
            caller: Caller::owner(USER),
            at: Timestamp::from_micros(self.now),
            nonce: 7,
            key: None,
            expected_version: None,
            command,
        }
    }

    fn open(&mut self) -> Request {
        let number = AccountNumber::new(&format!("110-{}", self.accounts.len())).unwrap();
        let (bank, currency) = (Bank::new("088").unwrap(), Currency::KRW);
        let request =
            self.request(Command::Open { owner: USER, currency, bank, number, number_made: false });
        self.accounts.push(AccountId::new(request.at, request.nonce));
        request
    }

    fn deposit(&mut self, account: AccountId) -> Request {
        let (amount, memo) = (Amount::new(1000).unwrap(), Memo::EMPTY);
        self.request(Command::Deposit { account, amount, memo, metadata: Metadata::EMPTY })
    }

    fn transfer(&mut self, from: AccountId, to: AccountId) -> Request {
        let (amount, metadata) = (Amount::new(1).unwrap(), Metadata::EMPTY);
        let (memo, to_memo) = (Memo::EMPTY, None);
        self.request(Command::Transfer { from, to, amount, memo, to_memo, metadata })
    }

    /// Hands all in at once and waits for the answers.
    fn burst(&self, requests: Vec<Request>) {
        let (reply, told) = mpsc::channel();
        for request in requests {
            let reply = reply.clone();
            let done = Box::new(move |answer: Result<Answer, _>| reply.send(answer).unwrap());
            self.teller.submit(request, done).unwrap();
        }
        drop(reply);
        assert!(told.iter().all(|answer| answer.unwrap().outcome.is_ok()));
    }
}

#[test]
fn what_a_reader_sees_is_consistent_at_every_moment() {
    let disk = FaultyDisk::new(0);
    let (journal, reader, _) = Journal::open(config(&disk)).unwrap();
    let (teller, thread) = Teller::start(journal, TellerLimits::default()).unwrap();
    let mut writer = Writer { teller, now: STEP, accounts: Vec::new() };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (reader, over) = (reader.clone(), &over);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !over.load(SeqCst) {
                    look_around(&reader, &mut random);
                }
            });
        }
        let (eager, over_too) = (reader.clone(), &over);
        scope.spawn(move || {
            while !over_too.load(SeqCst) {
                look_at_the_newest_row(&eager);
            }
        });
        // Whatever fails here, the readers must come to an end.
        let end = Over(&over);
        for nth in 0..400 {
            let mut requests = Vec::new();
            // Old accounts first, so that they are also the first to be shown.
            let old = writer.accounts.clone();
            requests.extend(old.iter().map(|account| writer.deposit(*account)));
            if nth < 40 || nth % 4 == 0 {
                requests.push(writer.open());
            }
            let newest = *writer.accounts.last().unwrap();
            requests.extend(
                old.iter().filter(|old| **old != newest).map(|old| writer.transfer(*old, newest)),
            );
            writer.burst(requests);
        }
        drop(end);
    });
    thread.close().unwrap();
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The newest row of an old account, as often as possible: what it names must be there. The first
/// few accounts will not do, as what comes first in a burst is mostly a batch of its own.
fn look_at_the_newest_row(reader: &JournalReader) {
    let Some(old) = reader.accounts(None, Order::Asc, None, 20).unwrap().pop() else { return };
    let (order, after, limit, scan_limit) = (Order::Desc, None, 1, 1);
    for _ in 0..1000 {
        let filter = EntryFilter::all(old.id());
        let query = EntryQuery { filter, order, after, offset: 0, limit, scan_limit };
        let page = reader.entries(&query).unwrap();
        if let Some(Row { entry, .. }) = page.rows.first()
            && let Some(other) = entry.counterparty
        {
            assert!(reader.account(other).unwrap().is_some());
        }
    }
}

fn look_around(reader: &JournalReader, random: &mut Random) {
    for total in reader.totals().unwrap() {
        let sum = total.customer_balance.checked_add(total.settlement_balance);
        assert_eq!(sum, Some(Balance::ZERO));
    }
    let accounts = reader.accounts(None, Order::Asc, None, usize::MAX).unwrap();
    if accounts.is_empty() {
        return;
    }
    let account = &accounts[random.below(accounts.len())];
    let filter = EntryFilter::all(account.id());
    let (order, after, limit, scan_limit) = (Order::Desc, None, 40, 40);
    let page =
        reader.entries(&EntryQuery { filter, order, after, offset: 0, limit, scan_limit }).unwrap();
    // The account was looked at before the page, and what is on a page never goes away.
    let newest = page.rows.first().map_or(0, |row| row.entry.number.get());
    assert!(newest >= account.entry_count());
    if let Some(row) = page.rows.iter().find(|row| row.entry.number.get() == account.entry_count())
    {
        assert_eq!(row.entry.balance, account.balance());
        assert_eq!(row.entry.hash, account.head_hash());
    }
    for rows in page.rows.windows(2) {
        check_step(&rows[1], &rows[0]);
    }
    if let Some(row) = page.rows.first() {
        let found = reader.transaction(row.transaction).unwrap().unwrap();
        assert!(found.is_balanced() && found.entries.contains(&row.entry));
        let later = TransactionId::new(Timestamp::from_micros(row.booked_at.micros() + 1), 0);
        assert_eq!(reader.transaction(later).unwrap(), None);
        let summary = reader.summary(&EntryFilter::all(account.id()), 0).unwrap().unwrap();
        assert!(summary.count >= newest);
        let change = summary.credit_total.checked_sub(summary.debit_total);
        assert_eq!(change, Some(summary.closing_balance));
        let before = reader.entries_before(account.id(), row.booked_at).unwrap();
        assert_eq!(before + 1, newest);
    }
}

/// Checks that `later` follows from `earlier`.
fn check_step(earlier: &Row, later: &Row) {
    assert_eq!(later.entry.number.get(), earlier.entry.number.get() + 1);
    assert!(later.booked_at > earlier.booked_at);
    let balance = match later.entry.direction {
        Direction::Credit => earlier.entry.balance.plus(later.entry.amount),
        Direction::Debit => earlier.entry.balance.minus(later.entry.amount),
    };
    assert_eq!(balance, Some(later.entry.balance));
    let Row { transaction, kind, booked_at, .. } = *later;
    let hash = chain::link(earlier.entry.hash, transaction, kind, booked_at, &later.entry);
    assert_eq!(hash, later.entry.hash);
}
