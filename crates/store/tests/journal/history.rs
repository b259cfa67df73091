//! Pages and sums of an account's history against looking at every row.

use tongjang_core::{Direction, EntryNumber, Timestamp};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Row};

use crate::ledger::{Ledger, deposit, withdraw};

#[test]
fn every_page_is_what_looking_at_every_row_gives() {
    let mut ledger = Ledger::with_segments(128 << 10);
    let account = ledger.open_account(1);
    let mut requests = Vec::new();
    for nth in 0..1500i128 {
        let command = match nth % 7 {
            3 => withdraw(account, 1 + nth % 5, "출금"),
            _ => deposit(account, 10 + nth % 11, "입금"),
        };
        requests.push(ledger.request(1, None, command));
    }
    assert!(ledger.perform(requests).iter().all(|answer| answer.outcome.is_ok()));
    for clean in [true, false] {
        let all = ledger.rows(account, Order::Asc);
        assert_eq!(all.len(), 1500);
        check(&ledger, &all);
        ledger.restart(clean);
    }
}

fn check(ledger: &Ledger, all: &[Row]) {
    let account = all[0].entry.account;
    let time = |index: usize, shift: i64| {
        Some(Timestamp::from_micros(all[index].booked_at.micros() + shift))
    };
    let ranges = [
        (None, None),
        (time(0, 0), None),
        (time(0, 1), time(1499, 0)),
        (time(700, 0), time(900, 0)),
        (time(700, -1), time(700, 1)),
        (time(900, 0), time(700, 0)),
        (None, time(0, 0)),
        (time(1499, 1), None),
    ];
    for (from, to) in ranges {
        for direction in [None, Some(Direction::Credit), Some(Direction::Debit)] {
            for order in [Order::Asc, Order::Desc] {
                let filter = EntryFilter { from, to, direction, ..EntryFilter::all(account) };
                let mut expected: Vec<&Row> =
                    all.iter().filter(|row| filter.matches(row)).collect();
                if order == Order::Desc {
                    expected.reverse();
                }
                let mut got = Vec::new();
                let mut after: Option<EntryNumber> = None;
                loop {
                    let filter = filter.clone();
                    let query =
                        EntryQuery { filter, order, after, offset: 0, limit: 37, scan_limit: 99 };
                    let page = ledger.entries(&query);
                    got.extend(page.rows);
                    after = page.resume;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{filter:?} {order:?}");
                let summary = ledger.reader().summary(&filter, 0).unwrap().unwrap();
                assert_eq!(summary.count, expected.len() as u64);
                let sum = |direction| -> i128 {
                    let rows = expected.iter().filter(|row| row.entry.direction == direction);
                    rows.map(|row| row.entry.amount.minor()).sum()
                };
                assert_eq!(summary.credit_total.minor(), sum(Direction::Credit));
                assert_eq!(summary.debit_total.minor(), sum(Direction::Debit));
            }
        }
    }
    for row in all.iter().step_by(13) {
        let found = ledger.reader().transaction(row.transaction).unwrap().unwrap();
        assert!(found.entries.contains(&row.entry));
    }
}
