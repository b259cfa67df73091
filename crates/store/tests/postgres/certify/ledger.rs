//! A ledger in a database of its own, with a teller in front.

use std::sync::{Arc, mpsc};

use tongjang_cluster::{Cluster, Database};
use tongjang_core::{Event, Request};
use tongjang_sim::ask::{Ask, Desk, Keys};
use tongjang_sim::model::Model;
use tongjang_store::postgres::{Engine, Postgres, PostgresReader};
use tongjang_store::{Answer, Messenger, StoreError, Teller, TellerLimits, TellerThread};

use crate::certify::tellers::{new_ledger, open};

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
        // What is taken apart by its parts is booked in another order, at other times.
        let apart = self.postgres.engine() == Engine::Citus && self.postgres.parts().count() > 1;
        let at_once = if apart { 1 } else { at_once };
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
        for (nth, request) in requests.iter().enumerate() {
            let reply = reply.clone();
            let done = Box::new(move |answer| reply.send((nth, answer)).unwrap());
            self.teller.submit(request.clone(), done).unwrap();
        }
        drop(reply);
        let mut answers: Vec<(usize, Result<Answer, StoreError>)> = told.iter().collect();
        answers.sort_by_key(|(nth, _)| *nth);
        answers.into_iter().map(|(_, answer)| answer.unwrap()).collect()
    }

    /// Runs a statement as superuser, with nothing in its way that guards the book.
    pub(crate) fn tamper(&self, statement: &str) {
        let cluster = Cluster::shared();
        cluster.execute(&self.database, UNGUARDED);
        // Citus takes one command at a time.
        for command in statement.split(";\n") {
            cluster.execute(&self.database, command);
        }
    }
}

/// Takes every guard of the book away; keys that are unique stay.
const UNGUARDED: &str = "DO $$ DECLARE guard record; BEGIN
    PERFORM set_config('citus.enable_unsafe_triggers', 'on', true);
    FOR guard IN SELECT conrelid::regclass AS place, conname AS name FROM pg_constraint
        WHERE contype IN ('c', 'f') AND EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = conrelid AND attname = 'part')
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', guard.place, guard.name); END LOOP;
    FOR guard IN SELECT tgrelid::regclass AS place, tgname AS name FROM pg_trigger
        WHERE NOT tgisinternal AND EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = tgrelid AND attname = 'part')
    LOOP EXECUTE format('DROP TRIGGER %I ON %s', guard.name, guard.place); END LOOP;
    END $$";

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
