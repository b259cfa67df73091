//! The journal store: an append-only log of frames that is the history and its index at once.
//!
//! `log` and what is under it know bytes only; what the bytes mean is decided above it.

pub mod frame;
pub mod lock;
pub mod log;
pub mod log_reader;
pub mod poison;
pub mod recovery;
pub mod segment;
mod writer;
