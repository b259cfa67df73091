//! A ledger in a database of its own, with a teller in front.

use std::sync::{Arc, mpsc};

use tongjang_cluster::{Cluster, Database};
use tongjang_core::{Event, Request};
use tongjang_sim::ask::{Ask, Desk, Keys};
use tongjang_sim::model::Model;
use tongjang_store::postgres::{Postgres, PostgresReader};
use tongjang_store::{Answer, Messenger, Teller, TellerLimits, TellerThread};

use crate::tellers::{new_ledger, open};

/// A ledger, and all that happened in it as the model has it.
pub(crate) struct Ledger {
    pub(crate) model: Model,
    pub(crate) postgres: Postgres,
    pub(crate) reader: PostgresReader,
    desk: Desk,
    teller: Teller,
    thread: Option<TellerThread>,
    pub(crate) database: Database,
}

impl Ledger {
    pub(crate) fn new(parts: u16) -> Self {
        let database = new_ledger(parts);
        let postgres = open(&database).unwrap();
        let stores = vec![postgres.teller().unwrap()];
        let messenger: Messenger = Arc::new(|deliver| deliver());
        let started = Teller::start_shared(stores, TellerLimits::default(), &messenger);
        let (teller, thread) = started.unwrap();
        let (reader, thread) = (postgres.reader(), Some(thread));
        let (model, desk) = (Model::default(), Desk::new(Keys::Few));
        Self { model, postgres, reader, desk, teller, thread, database }
    }

    /// Asks the teller for so many at once, and compares each answer with the model's.
    pub(crate) fn ask(&mut self, asks: &[Ask], at_once: usize) {
        let mut expected = Vec::new();
        let requests: Vec<Request> = asks
            .iter()
            .map(|ask| {
                let request = self.desk.request(*ask);
                let answer = self.model.ask(&request);
                self.desk.saw(&answer.outcome);
                expected.push(answer);
                request
            })
            .collect();
        for (some, expected) in requests.chunks(at_once).zip(expected.chunks(at_once)) {
            let got: Vec<Answer> = self.perform(some).into_iter().map(blurred).collect();
            let expected: Vec<Answer> = expected.iter().cloned().map(blurred).collect();
            assert_eq!(got, expected);
        }
    }

    fn perform(&self, requests: &[Request]) -> Vec<Answer> {
        let (reply, told) = mpsc::channel();
        for request in requests {
            let reply = reply.clone();
            let done = Box::new(move |answer: Result<Answer, _>| reply.send(answer).unwrap());
            self.teller.submit(request.clone(), done).unwrap();
        }
        drop(reply);
        // Answers come in the order of the requests.
        told.iter().map(|answer| answer.unwrap()).collect()
    }

    /// Runs SQL as superuser, with nothing in its way that guards the book.
    pub(crate) fn tamper(&self, statements: &str) {
        // Neither triggers nor foreign keys are looked at then; checks always are.
        let unguarded = "DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
                WHERE contype = 'c' AND conrelid::regclass::text LIKE 'tongjang.%'
            LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.place, c.conname); END LOOP;
            END $$; SET session_replication_role = replica;";
        let statements = format!("{unguarded} {statements}");
        Cluster::shared().execute(&self.database, &statements);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let closed = thread.close();
            assert!(closed.is_ok() || std::thread::panicking(), "{closed:?}");
        }
    }
}

/// A replayed opening does not tell whether it was its currency's first one in its part, and the
/// other side of a deposit is another account in each part.
fn blurred(mut answer: Answer) -> Answer {
    match &mut answer.outcome {
        Ok(Event::Opened(opening)) => opening.settlement = None,
        Ok(Event::Booked(booked)) => {
            let customers = |id: tongjang_core::AccountId| !id.is_settlement();
            let entries = &mut booked.transaction.entries;
            entries.retain(|entry| customers(entry.account));
            for entry in entries {
                entry.counterparty = entry.counterparty.filter(|id| customers(*id));
            }
        }
        _ => {}
    }
    answer
}
