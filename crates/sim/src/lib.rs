//! The simulator: seeded requests, a journal on a disk that crashes under them, and what must hold
//! afterwards.
//!
//! [`ask`] makes requests from small numbers, [`model`] says what must come of them, [`drive`]
//! puts them to a store batch by batch, and [`crash`] does so on a disk that fails. [`question`]
//! asks a reader and the model the same, and [`scripted`] puts a script's rows to a store. See
//! `docs/testing.md`.

pub mod ask;
pub mod crash;
pub mod drive;
pub mod model;
pub mod question;
pub mod random;
pub mod scripted;
