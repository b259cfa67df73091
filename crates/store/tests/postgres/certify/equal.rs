//! Any requests: the database answers what the model and the journal do, and so does every query.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use tongjang_core::{Account, Event, UserId};
use tongjang_sim::question::{asks, compare, meet, orders, questions, strangers};
use tongjang_store::{Order, Reader};

use crate::cases;
use crate::certify::ledger::Ledger;

/// A list of accounts: whose, which way, after which, how many.
type List = (Option<u128>, Order, Option<Index>, usize);

fn lists() -> impl Strategy<Value = Vec<List>> {
    vec((option::of(1..5u128), orders(), option::of(any::<Index>()), 0..20usize), 12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 64, ..ProptestConfig::with_cases(cases(8))
    })]

    #[test]
    fn everything_is_answered_as_the_model_does(
        asks in asks(400),
        at_once in 1..100usize,
        parts in prop_oneof![Just(1u16), Just(4)],
        questions in vec(questions(), 40),
        lists in lists(),
        strangers in strangers(),
    ) {
        let mut ledger = Ledger::new(parts);
        ledger.ask(&asks, at_once);
        // With several parts each has settlement accounts of its own, which the model has not.
        let own = |account: &Account| parts > 1 && account.opened().is_settlement();
        let mut accounts = ledger.model.accounts();
        accounts.retain(|account| !own(account));
        for account in &accounts {
            let found = ledger.reader.account(account.id()).unwrap();
            prop_assert_eq!(found.as_ref(), Some(account));
            if let Some((bank, number)) = &account.opened().place {
                let found = ledger.reader.account_by_number(bank, number).unwrap();
                prop_assert_eq!(found, Some(account.id()));
            }
        }
        if !accounts.is_empty() {
            for question in &questions {
                let query = question.query(&ledger.model, &accounts);
                compare(&ledger.reader, &ledger.model, &query);
            }
        }
        for (owner, order, after, limit) in lists {
            // Those of everybody are listed with the settlement accounts, of which the model has
            // others.
            let owner = owner.or((parts > 1).then_some(1)).map(UserId::from_bits);
            let after = after.filter(|_| !accounts.is_empty());
            let after = after.map(|index| index.get(&accounts).id());
            let got = ledger.reader.accounts(owner, order, after, limit).unwrap();
            prop_assert_eq!(got, ledger.model.list(owner, order, after, limit));
        }
        prop_assert_eq!(ledger.reader.totals().unwrap(), ledger.model.totals());
        transactions(&ledger, parts);
        meet(&ledger.reader, &ledger.model, &strangers);
        ledger.reader.ready().unwrap();
    }
}

fn transactions(ledger: &Ledger, parts: u16) {
    let Ledger { model, reader, .. } = ledger;
    for event in &model.events {
        if let Event::Booked(booked) = event {
            let found = reader.transaction(booked.transaction.id).unwrap().unwrap();
            if parts == 1 {
                assert_eq!(found, booked.transaction);
            }
            for entry in
                booked.transaction.entries.iter().filter(|one| !one.account.is_settlement())
            {
                let same = found.entries.iter().find(|other| other.account == entry.account);
                assert_eq!(same.unwrap().hash, entry.hash);
            }
        }
    }
}
