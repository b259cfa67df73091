//! A rehearsal on a ledger in a database: requests are decided against it as they would be, and
//! nothing is written. What they touch is read a batch at a time and not kept from others.

use tongjang_core::{Book, Request, Timestamp, Tried};

use super::book::PostgresBook;
use super::{Postgres, PostgresStore};
use crate::{Release, Room, Store, StoreError};

/// A store that only seems to be one: what it commits is forgotten with it.
pub struct PostgresRehearsal {
    store: PostgresStore,
    /// All that was read, as the requests so far would leave it.
    book: PostgresBook,
}

impl Postgres {
    /// A rehearsal on the ledger.
    ///
    /// # Errors
    /// If the operating system refuses a runtime.
    pub fn rehearsal(&self) -> Result<PostgresRehearsal, StoreError> {
        let book = PostgresBook::new(self.parts, Timestamp::EPOCH);
        Ok(PostgresRehearsal { store: self.teller()?, book })
    }
}

impl Store for PostgresRehearsal {
    type Book = PostgresBook;

    fn load(&mut self, requests: &[&Request]) -> Result<(), StoreError> {
        self.store.load(requests)?;
        let read = self.store.taken();
        let PostgresBook { held, numbers, answers, stand_ins, earliest, .. } = read;
        // What was read before may have been changed here since.
        let book = &mut self.book;
        held.into_iter().for_each(|(id, one)| _ = book.held.entry(id).or_insert(one));
        numbers.into_iter().for_each(|(name, id)| _ = book.numbers.entry(name).or_insert(id));
        answers.into_iter().for_each(|(key, event)| _ = book.answers.entry(key).or_insert(event));
        book.stand_ins.extend(stand_ins);
        book.earliest = book.earliest().max(earliest);
        Ok(())
    }

    fn book(&mut self) -> &mut PostgresBook {
        &mut self.book
    }

    fn is_full(&self) -> bool {
        false
    }

    fn room_for(&mut self, _: &[Tried]) -> Result<Room, StoreError> {
        Ok(Room::Here)
    }

    fn commit(&mut self, release: Release) -> Result<(), StoreError> {
        self.book.events.clear();
        release(Ok(()));
        Ok(())
    }

    fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}
