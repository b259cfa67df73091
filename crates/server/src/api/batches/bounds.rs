//! How much of batches may be in memory at once: of one user, and of all together.
//!
//! A document counts by its bytes, as they come in; a stream, whose chunks are bounded, as one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tongjang_core::UserId;

use super::DOCUMENT_LIMIT;
use crate::problem::{Code, Problem, Text};

/// A document counts as so many KiB at least, for what it takes beside its body.
const LEAST_KIB: usize = 16;

/// How many batches there may be at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchLimits {
    /// Streams.
    pub streams: usize,
    /// Streams of one user.
    pub streams_of_user: usize,
    /// Bytes of documents.
    pub bytes: usize,
    /// Bytes of one user's documents.
    pub bytes_of_user: usize,
    /// How long a document waits for its room before it is sent away.
    pub patience: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            streams: 128,
            streams_of_user: 16,
            bytes: 2 * DOCUMENT_LIMIT,
            bytes_of_user: DOCUMENT_LIMIT,
            patience: Duration::from_secs(2),
        }
    }
}

/// The batches that are under way.
#[derive(Debug)]
pub(crate) struct Bounds {
    all: Room,
    of_users: Mutex<HashMap<UserId, Weak<Room>>>,
    limits: BatchLimits,
}

/// Room for streams, and for KiB of documents.
#[derive(Debug)]
struct Room {
    streams: Arc<Semaphore>,
    kib: Arc<Semaphore>,
}

impl Room {
    fn new(streams: usize, bytes: usize) -> Self {
        let (streams, kib) = (Semaphore::new(streams), Semaphore::new(bytes / 1024));
        Self { streams: Arc::new(streams), kib: Arc::new(kib) }
    }
}

/// Held by a stream for as long as it lasts.
#[derive(Debug)]
pub(super) struct StreamTurn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _room: Arc<Room>,
}

/// Held by a document from its first byte until it is answered.
#[derive(Debug)]
pub(super) struct DocumentTurn<'a> {
    bounds: &'a Bounds,
    room: Arc<Room>,
    held: Vec<OwnedSemaphorePermit>,
    bytes: usize,
    kib: usize,
}

impl Bounds {
    /// Nothing is under way.
    pub(crate) fn new(limits: BatchLimits) -> Self {
        let all = Room::new(limits.streams, limits.bytes);
        Self { all, of_users: Mutex::default(), limits }
    }

    /// Lets a stream of `user` begin.
    ///
    /// # Errors
    /// 429 `rate-limited`, if he has as many as he may; 503 `overloaded`, if the server has.
    pub(super) fn stream(&self, user: UserId) -> Result<StreamTurn, Problem> {
        let room = self.room_of(user);
        let own = room.streams.clone().try_acquire_owned();
        let own = own.map_err(|_| too_many_streams(self.limits.streams_of_user))?;
        let all = self.all.streams.clone().try_acquire_owned();
        let all = all.map_err(|_| Problem::new(Code::Overloaded))?;
        Ok(StreamTurn { _all: all, _own: own, _room: room })
    }

    /// Lets a document of `user` come in.
    pub(super) fn document(&self, user: UserId) -> DocumentTurn<'_> {
        let room = self.room_of(user);
        DocumentTurn { bounds: self, room, held: Vec::new(), bytes: 0, kib: 0 }
    }

    fn room_of(&self, user: UserId) -> Arc<Room> {
        let mut rooms = self.of_users.lock();
        if let Some(room) = rooms.get(&user).and_then(Weak::upgrade) {
            return room;
        }
        // Nobody's is left behind, and it is looked for only when the map would grow.
        if rooms.len() == rooms.capacity() {
            rooms.retain(|_, room| room.strong_count() > 0);
        }
        let room = Room::new(self.limits.streams_of_user, self.limits.bytes_of_user);
        let room = Arc::new(room);
        rooms.insert(user, Arc::downgrade(&room));
        room
    }
}

impl DocumentTurn<'_> {
    /// Waits until so many more bytes may be taken in.
    ///
    /// # Errors
    /// After a moment 429 `rate-limited`, if the user's other documents are too large; 503
    /// `overloaded`, if all documents are.
    pub(super) async fn take_in(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let due = self.bytes.div_ceil(1024).max(LEAST_KIB);
        let more = u32::try_from(due - self.kib).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let patience = self.bounds.limits.patience;
        let own = room_for(&self.room.kib, more, patience).await.ok_or_else(too_many_bytes)?;
        let all = room_for(&self.bounds.all.kib, more, patience).await;
        let all = all.ok_or_else(|| Problem::new(Code::Overloaded))?;
        self.held.extend([own, all]);
        self.kib = due;
        Ok(())
    }
}

async fn room_for(
    kib: &Arc<Semaphore>,
    more: u32,
    patience: Duration,
) -> Option<OwnedSemaphorePermit> {
    let permit = tokio::time::timeout(patience, kib.clone().acquire_many_owned(more)).await;
    permit.ok().map(|permit| permit.expect("nobody closes the semaphore"))
}

fn too_many_streams(most: usize) -> Problem {
    Problem::new(Code::RateLimited).retry_after(1).detail(Text::new(
        format!("A user may have {most} streams of batches at once; end one of them first."),
        format!(
            "한 사용자는 묶음 스트림을 동시에 {most}개까지 열 수 있습니다. 하나를 먼저 끝내세요."
        ),
    ))
}

fn too_many_bytes() -> Problem {
    Problem::new(Code::RateLimited).retry_after(1).detail(Text::fixed(
        "Other batches of this user take all the room that he may have. Wait for their answers.",
        "이 사용자의 다른 묶음이 허용된 크기를 모두 쓰고 있습니다. 그 응답을 먼저 기다리세요.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: BatchLimits = BatchLimits {
        streams: 3,
        streams_of_user: 2,
        bytes: 96 << 10,
        bytes_of_user: 64 << 10,
        patience: Duration::ZERO,
    };

    fn user(number: u128) -> UserId {
        UserId::from_bits(number)
    }

    #[test]
    fn streams_are_counted_a_user_and_together() {
        let bounds = Bounds::new(SMALL);
        let (one, _two) = (bounds.stream(user(1)).unwrap(), bounds.stream(user(1)).unwrap());
        assert_eq!(bounds.stream(user(1)).unwrap_err().code(), Code::RateLimited);
        let _three = bounds.stream(user(2)).unwrap();
        assert_eq!(bounds.stream(user(2)).unwrap_err().code(), Code::Overloaded);
        drop(one);
        bounds.stream(user(2)).unwrap();
    }

    #[test]
    fn users_who_are_done_are_forgotten() {
        let bounds = Bounds::new(SMALL);
        for number in 0..10_000 {
            bounds.stream(user(number)).unwrap();
        }
        assert!(bounds.of_users.lock().len() < 100);
    }

    #[tokio::test]
    async fn documents_are_counted_by_their_bytes() {
        let bounds = Bounds::new(SMALL);
        let mut one = bounds.document(user(1));
        one.take_in(10).await.unwrap();
        one.take_in(50 << 10).await.unwrap();
        let mut two = bounds.document(user(1));
        assert_eq!(two.take_in(1).await.unwrap_err().code(), Code::RateLimited);
        let mut other = bounds.document(user(2));
        other.take_in(40 << 10).await.unwrap();
        assert_eq!(other.take_in(10 << 10).await.unwrap_err().code(), Code::Overloaded);
        drop((one, other));
        two.take_in(60 << 10).await.unwrap();
    }
}
