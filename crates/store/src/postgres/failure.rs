//! What a failure of the database means for who asked, told by its SQLSTATE and its kind and
//! never by its text, which changes with the server's version and language.

use std::error::Error;
use std::io;

/// What to make of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nothing was done, since another was in the way: the same again may go through.
    Again,
    /// The database cannot be reached or cannot work now. Nothing was done, unless a `COMMIT` was
    /// under way: of that one nobody knows.
    Unavailable,
    /// The database refused: the same again would be refused again.
    Refused,
}

impl Failure {
    /// What an error of the driver means.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(code) = error.code() {
            return Self::of_code(code.code());
        }
        if error.is_closed() {
            return Self::Unavailable;
        }
        error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map_or(Self::Refused, Self::of_io)
    }

    /// What an SQLSTATE means (PostgreSQL, appendix A). A unique key that is taken (23505) is a
    /// refusal here; who races for one says so with `StoreError::again_if_taken`.
    pub fn of_code(code: &str) -> Self {
        match code {
            // Serialization, deadlock, a lock that was not to be had in time.
            "40001" | "40P01" | "55P03" => Self::Again,
            // Whether the statement was carried out is not known.
            "40003" => Self::Unavailable,
            // The server is a standby, or has become one: the primary is elsewhere.
            "25006" => Self::Unavailable,
            // The session was ended for idling, or its transaction for lasting too long.
            "25P03" | "25P04" | "57P05" => Self::Unavailable,
            // Too slow or cancelled; shut down; crashed; not yet up.
            "57014" | "57P01" | "57P02" | "57P03" => Self::Unavailable,
            _ => match code.get(..2) {
                // The connection; memory, disk and connections that are used up.
                Some("08" | "53") => Self::Unavailable,
                _ => Self::Refused,
            },
        }
    }

    /// What an error of the socket, or of TLS on it, means.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            // What rustls says of a certificate, and what is no protocol.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Refused,
            _ => Self::Unavailable,
        }
    }
}

/// An error with all that caused it, in words: of the server's own errors its message and
/// SQLSTATE. Its details are left out, since they repeat what stands in the rows.
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(told) = error.downcast_ref::<tokio_postgres::error::DbError>() {
            return format!("{} (SQLSTATE {})", told.message(), told.code().code());
        }
        let part = error.to_string();
        // An `io::Error` shows what it wraps, and then names it as its cause once more.
        if !said.ends_with(&part) {
            if !said.is_empty() {
                said.push_str(": ");
            }
            said.push_str(&part);
        }
        next = error.source();
    }
    said
}
