//! The calls of the API: a file a resource, with its handlers, bodies and documentation.
//!
//! A call documents the problems of its own as
//! `extensions(("x-problems" = json!(["insufficient-funds"])))`. Those that its shape implies (its
//! security, parameters and body) are added to the document for all calls alike.

pub mod me;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

/// All calls under `/v1`. A resource's file has a `router()` of its own, merged here.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(me::router())
}

/// An instant as the API writes it: RFC 3339 in UTC with microseconds.
pub fn time(at: tongjang_core::Timestamp) -> String {
    let instant = jiff::Timestamp::from_microsecond(at.micros());
    let instant = instant.expect("the ledger's times lie within the years 0 to 9999");
    format!("{instant:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_microseconds() {
        let at = tongjang_core::Timestamp::from_micros(1_763_856_000_000_001);
        assert_eq!(time(at), "2025-11-23T00:00:00.000001Z");
        let whole = tongjang_core::Timestamp::from_micros(1_763_856_000_000_000);
        assert_eq!(time(whole), "2025-11-23T00:00:00.000000Z");
    }
}
