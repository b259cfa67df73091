//! The one parameter in a call's address: an id.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::problem::{Code, Problem};

/// The id in the address. A text that is no id of that kind names nothing: 404 `not-found`.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let id = params.ok().and_then(|params| params.iter().next()?.1.parse().ok());
        id.map(Self).ok_or_else(|| Problem::new(Code::NotFound))
    }
}
