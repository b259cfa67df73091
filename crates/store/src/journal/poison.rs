//! The mark that a store bears after its first failure, shared by all who must know of it.
//!
//! The log's writer sets it; the teller's next commit and the health page read it.

use std::sync::{Arc, OnceLock};

use crate::StoreError;

/// Clean, or poisoned for good. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Poison(Arc<OnceLock<Arc<str>>>);

impl Poison {
    /// Poisons the store, unless it is so already: the first cause is the one that is told.
    pub fn set(&self, cause: impl Into<Arc<str>>) {
        let cause = cause.into();
        if self.0.set(cause.clone()).is_ok() {
            tracing::error!(%cause, "the store takes nothing more in");
        }
    }

    /// Whether there was no failure so far.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] with the first cause.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            Some(cause) => Err(StoreError::Poisoned { cause: cause.clone() }),
        }
    }

    /// A guard that poisons if its thread panics while holding it.
    pub fn guard(&self, who: &'static str) -> PanicGuard {
        PanicGuard { poison: self.clone(), who }
    }
}

/// Poisons when it is dropped by a panic.
#[derive(Debug)]
pub struct PanicGuard {
    poison: Poison,
    who: &'static str,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.poison.set(format!("{} panicked", self.who));
        }
    }
}
