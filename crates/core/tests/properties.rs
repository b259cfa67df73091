//! Properties of the rules: any sequence of requests does what a far simpler model says, and an
//! audit passes what they made and nothing else.

#[path = "properties/ask.rs"]
mod ask;
#[path = "properties/fault.rs"]
mod fault;
#[path = "properties/model.rs"]
mod model;

use ask::{Ask, asks, command, request};
use model::{Model, Seen};
use proptest::prelude::*;
use tongjang_core::apply::apply;
use tongjang_core::{
    Account, Audit, AuditSummary, Book, Decision, Event, Fault, Fingerprint, MemoryBook, Verdict,
    decide, decide_together,
};

/// The rules at work on a book in memory.
#[derive(Default)]
struct Real {
    book: MemoryBook,
    events: Vec<Event>,
    opened: Vec<tongjang_core::AccountId>,
}

impl Real {
    fn after(asks: &[Ask]) -> Self {
        let mut real = Self::default();
        for ask in asks {
            real.ask(ask);
        }
        real
    }

    fn ask(&mut self, ask: &Ask) -> Decision {
        let nonce = u64::try_from(self.events.len()).expect("few events");
        let Ok(decision) = decide(&self.book, &request(ask, nonce, &self.opened));
        if let Decision::New(event) = &decision {
            apply(&mut self.book, event);
            if let Event::Opened(opening) = event {
                self.opened.push(opening.account.id);
            }
            self.events.push(event.clone());
        }
        decision
    }

    fn account(&self, index: usize) -> &Account {
        self.book.account(self.opened[index]).expect("it was opened")
    }

    fn audit(&self) -> Result<AuditSummary, Fault> {
        audit(&self.events, &self.book)
    }
}

fn audit(events: &[Event], book: &MemoryBook) -> Result<AuditSummary, Fault> {
    let mut audit = Audit::new();
    events.iter().try_for_each(|event| audit.check(event))?;
    audit.finish(book.accounts())
}

proptest! {
    #[test]
    fn every_request_does_what_the_model_says(asks in asks(1..80)) {
        let (mut real, mut model) = (Real::default(), Model::default());
        for ask in &asks {
            let expected = model.ask(ask);
            let seen = Seen::of(&real.ask(ask), ask, &real.opened);
            prop_assert_eq!(seen, expected, "{:?}", ask);
        }
        prop_assert_eq!(real.opened.len(), model.accounts.len());
        for (index, account) in model.accounts.iter().enumerate() {
            let real = real.account(index);
            prop_assert_eq!(real.balance().minor(), account.rows.iter().sum::<i128>());
            prop_assert_eq!(real.entry_count(), u64::try_from(account.rows.len()).unwrap());
            prop_assert_eq!(real.status(), account.status);
            prop_assert_eq!(real.version(), account.version);
        }
    }

    #[test]
    fn requests_that_are_booked_together_do_what_the_model_says(
        before in asks(1..30),
        asks in asks(1..12),
    ) {
        let (mut real, mut model) = (Real::after(&before), Model::default());
        for ask in &before {
            model.ask(ask);
        }
        // An account that a batch opens has no id yet that another of its requests could name.
        let opens = |ask: &Ask| matches!(ask.what, ask::What::Open { .. });
        let asks: Vec<Ask> = asks.into_iter().filter(|ask| !opens(ask)).collect();
        let nonce = |nth: usize| u64::try_from(1000 + nth).expect("few");
        let requests: Vec<_> = asks
            .iter()
            .enumerate()
            .map(|(nth, ask)| request(ask, nonce(nth), &real.opened))
            .collect();
        let mut copy = model.clone();
        let seen: Vec<Seen> = asks.iter().map(|ask| copy.ask(ask)).collect();
        let refused = |seen: &Seen| match seen {
            Seen::Refused(code) => Some((*code, false)),
            Seen::Replayed(seen) => match **seen {
                Seen::Refused(code) => Some((code, true)),
                _ => None,
            },
            Seen::Ok | Seen::Balance(_) => None,
        };
        let first = seen.iter().position(|seen| refused(seen).is_some());
        let untouched = format!("{:?}", real.audit());
        let Ok(verdict) = decide_together(&real.book, &requests);
        prop_assert_eq!(format!("{:?}", real.audit()), untouched, "the book is only looked at");
        match (verdict, first) {
            (Verdict::None { at, rejection, replayed }, Some(first)) => {
                let told = Some((rejection.code(), replayed));
                prop_assert_eq!((at, told), (first, refused(&seen[first])));
            }
            (Verdict::All(tried), None) => {
                for (nth, tried) in tried.into_iter().enumerate() {
                    let decision = match tried.replayed {
                        true => Decision::Replayed(tried.event),
                        false => Decision::New(tried.event),
                    };
                    prop_assert_eq!(&Seen::of(&decision, &asks[nth], &real.opened), &seen[nth]);
                    if let Decision::New(event) = decision {
                        apply(&mut real.book, &event);
                        real.events.push(event);
                    }
                }
                prop_assert!(real.audit().is_ok());
                for (index, account) in copy.accounts.iter().enumerate() {
                    let balance: i128 = account.rows.iter().sum();
                    prop_assert_eq!(real.account(index).balance().minor(), balance);
                }
            }
            (verdict, first) => prop_assert!(false, "{verdict:?}, and the model says {first:?}"),
        }
    }

    #[test]
    fn every_ledger_passes_its_audit_and_sums_to_zero(asks in asks(1..80)) {
        let (real, mut model) = (Real::after(&asks), Model::default());
        for ask in &asks {
            model.ask(ask);
        }
        let summary = real.audit().unwrap_or_else(|fault| panic!("{fault}"));
        for of in &summary.currencies {
            let held = model.accounts.iter().filter(|account| account.currency == of.currency);
            let sum: i128 = held.flat_map(|account| &account.rows).sum();
            prop_assert_eq!(of.customer_balance.minor(), sum);
            prop_assert_eq!(of.settlement_balance.minor(), -sum);
        }
        prop_assert_eq!(summary.events, u64::try_from(real.events.len()).unwrap());
    }

    #[test]
    fn a_history_is_numbered_adds_up_and_rises_in_time(asks in asks(1..80)) {
        let real = Real::after(&asks);
        let mut model = Model::default();
        for ask in &asks {
            model.ask(ask);
        }
        for (id, account) in real.opened.iter().zip(&model.accounts) {
            let mut balance = 0;
            let mut rows = Vec::new();
            let mut last = None;
            for event in &real.events {
                let Event::Booked(booked) = event else { continue };
                for entry in booked.transaction.entries.iter().filter(|e| e.account == *id) {
                    let before = balance;
                    balance = entry.balance.minor();
                    rows.push(balance - before);
                    prop_assert_eq!(entry.number.get(), u64::try_from(rows.len()).unwrap());
                    prop_assert!(Some(booked.transaction.booked_at) > last);
                    last = Some(booked.transaction.booked_at);
                }
            }
            prop_assert_eq!(&rows, &account.rows);
        }
    }

    #[test]
    fn a_key_books_once_however_often_it_is_sent(asks in asks(1..60)) {
        let mut real = Real::default();
        for ask in asks.iter().filter(|ask| ask.key.is_some()) {
            let first = real.ask(ask);
            let before = real.events.len();
            match first {
                Decision::New(event) | Decision::Replayed(event) => {
                    prop_assert_eq!(real.ask(ask), Decision::Replayed(event));
                }
                Decision::Refused(rejection) => {
                    prop_assert_eq!(real.ask(ask), Decision::Refused(rejection));
                }
            }
            prop_assert_eq!(real.events.len(), before);
        }
    }

    #[test]
    fn a_ledger_with_any_one_fault_fails_its_audit(
        asks in asks(20..60),
        kind in 0..fault::KINDS,
        place in any::<prop::sample::Index>(),
    ) {
        let mut real = Real::after(&asks);
        prop_assume!(fault::sow(&mut real.events, kind, place));
        prop_assert!(real.audit().is_err(), "fault {} was passed", kind);
    }

    #[test]
    fn fingerprints_agree_exactly_when_commands_do(one in asks(1..8), other in asks(1..8)) {
        for (one, other) in one.iter().zip(&other) {
            let (one, other) = (command(one, &[]), command(other, &[]));
            let same = model::said(&one) == model::said(&other);
            prop_assert_eq!(Fingerprint::of(&one) == Fingerprint::of(&other), same);
            prop_assert_eq!(one.differing_fields(&other).is_empty(), same);
        }
    }
}

/// Properties over requests that are all refused, or faults that are never sown, would prove
/// nothing: each outcome comes about, and each fault is sown and found.
#[test]
fn each_outcome_and_each_kind_of_fault_comes_about() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut sown = [0; fault::KINDS];
    let mut outcomes = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let asks = asks(20..60).new_tree(&mut runner).expect("asks").current();
        let place = any::<prop::sample::Index>().new_tree(&mut runner).expect("a place").current();
        let mut real = Real::default();
        for ask in &asks {
            let outcome = match real.ask(ask) {
                Decision::New(Event::Refused(refused)) => refused.rejection.code(),
                Decision::New(_) => "new",
                Decision::Replayed(_) => "replayed",
                Decision::Refused(rejection) => rejection.code(),
            };
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        for (kind, count) in sown.iter_mut().enumerate() {
            let mut real = Real::after(&asks);
            if fault::sow(&mut real.events, kind, place) {
                *count += 1;
                assert!(real.audit().is_err(), "fault {kind} was passed");
            }
        }
    }
    assert!(sown.iter().all(|count| *count > 10), "{sown:?}");
    // All but `balance-overflow`, which needs more money than amounts can bring.
    assert_eq!(outcomes.len(), 13, "{outcomes:?}");
    assert!(outcomes["new"] > 400, "{outcomes:?}");
}
