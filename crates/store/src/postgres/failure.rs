//! What a failure of the database means for who asked, told by its SQLSTATE and its kind and
//! never by its text, which changes with the server's version and language.

use std::error::Error;
use std::io;

/// What to make of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nothing was done, since another was in the way: the same again may go through.
    Again,
    /// Nothing was done, since another holds what is needed, and did not let it go in time.
    Held,
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
            // Serialization, deadlock.
            "40001" | "40P01" => Self::Again,
            // A lock that was not to be had in time.
            "55P03" => Self::Held,
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
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&error.to_string());
        next = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::Failure::{Again, Held, Refused, Unavailable};
    use super::*;

    /// Every class of PostgreSQL's appendix A, and of those that are not of one kind each code
    /// that says something else than its class.
    #[test]
    fn every_class_of_codes_means_one_thing() {
        let cases = [
            (Again, "40001 40P01"),
            (Held, "55P03"),
            (Unavailable, "08000 08001 08003 08004 08006 08007 08P01 40003"),
            (Unavailable, "53000 53100 53200 53300 53400"),
            (Unavailable, "57014 57P01 57P02 57P03 57P05 25P03 25P04 25006"),
            (Refused, "03000 09000 0A000 0B000 0F000 0L000 0LP01 0P000 0Z000 20000 21000"),
            (Refused, "22000 22001 22003 22012 22023 22P02"),
            (Refused, "23000 23001 23502 23503 23505 23514 23P01"),
            (Refused, "24000 25000 25001 25P01 25P02 26000 27000 28000 28P01 2B000 2D000 2F000"),
            (Refused, "34000 38000 39000 3B000 3D000 3F000 40000 40002"),
            (Refused, "42000 42501 42601 42703 42P01 44000"),
            (Refused, "54000 55000 55006 55P02 55P04 57000 57P04"),
            (Refused, "58000 58030 F0000 HV000 P0000 P0001 XX000 XX001 XX002"),
            (Refused, "99999"),
        ];
        for (failure, codes) in cases {
            for code in codes.split(' ') {
                assert_eq!(Failure::of_code(code), failure, "{code}");
            }
        }
        // What no server sends does no harm.
        for code in ["", "0", "53", "ÄÖ"] {
            let expected = if code == "53" { Unavailable } else { Refused };
            assert_eq!(Failure::of_code(code), expected, "{code}");
        }
    }

    #[test]
    fn what_the_network_does_passes_and_what_a_certificate_says_stays() {
        use io::ErrorKind::*;
        for kind in [
            ConnectionRefused,
            ConnectionReset,
            ConnectionAborted,
            BrokenPipe,
            HostUnreachable,
            NetworkUnreachable,
            TimedOut,
            UnexpectedEof,
            NotFound,
            PermissionDenied,
            Other,
        ] {
            assert_eq!(Failure::of_io(&kind.into()), Unavailable, "{kind}");
        }
        for kind in [InvalidData, InvalidInput] {
            assert_eq!(Failure::of_io(&kind.into()), Refused, "{kind}");
        }
    }

    #[test]
    fn a_chain_of_causes_is_told_to_its_end() {
        let wrong = "a=b".parse::<tokio_postgres::Config>().unwrap_err();
        assert_eq!(words(&wrong), "invalid connection string: unknown option `a`");
        assert_eq!(Failure::of(&wrong), Refused);
        let shown = crate::StoreError::database("start", wrong);
        let told = "cannot start: invalid connection string: unknown option `a`";
        assert_eq!(shown.to_string(), told);
    }
}
