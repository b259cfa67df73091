//! An account, and the list of one's own.

use axum::extract::State;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tongjang_core::{Account, AccountId};
use tongjang_store::{Order, Reader as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::readable;
use super::json;
use super::listing::limit;
use super::opening::{__path_open, open};
use super::page::{DEFAULT_LIMIT, Page, Position};
use super::params::{AccountsParams, SeenHeader};
use super::view::AccountView;
use crate::app::{App, AppState};
use crate::auth::Caller;
use crate::cursor::{NotACursor, Scanner, Writer};
use crate::extract::{IfMatch, NoQuery, Path, Query};
use crate::ledger::LedgerReader;
use crate::problem::{Code, Problem};

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(open, list)).routes(routes!(account))
}

/// The account with its entity tag.
pub(super) fn tagged(status: StatusCode, account: &Account, name: Option<&str>) -> Response {
    let mut response = json(status, &AccountView::new(account, name));
    response.headers_mut().insert(ETAG, tag(account));
    response
}

fn tag(account: &Account) -> HeaderValue {
    HeaderValue::try_from(IfMatch::tag(account.version())).expect("digits in quotes are ASCII")
}

/// The caller's accounts, between two pages.
struct Accounts {
    order: Order,
    limit: u16,
    position: Position<AccountId>,
}

impl Accounts {
    fn of(app: &App, caller: &Caller, params: &AccountsParams) -> Result<Self, Problem> {
        let order = params.order.map(Order::from);
        let limit = params.limit.map(limit).transpose()?;
        let mut accounts = match &params.cursor {
            None => Self {
                order: order.unwrap_or_default(),
                limit: DEFAULT_LIMIT,
                position: Position::BEGIN,
            },
            Some(cursor) => Self::open(app, caller, cursor)
                .map_err(|NotACursor| Problem::new(Code::InvalidCursor))?,
        };
        if order.is_some_and(|order| order != accounts.order) {
            return Err(Problem::new(Code::InvalidCursor));
        }
        accounts.limit = limit.unwrap_or(accounts.limit);
        Ok(accounts)
    }

    fn cursor(&self, app: &App, caller: &Caller, position: Position<AccountId>) -> String {
        let mut to = Writer::default();
        position.write(&mut to);
        to.byte((self.order == Order::Asc).into());
        to.optional(Some(self.limit.to_be_bytes()));
        app.directory.cursor_key().seal(&bound(caller), to.bytes())
    }

    fn open(app: &App, caller: &Caller, cursor: &str) -> Result<Self, NotACursor> {
        let bytes = app.directory.cursor_key().open(&bound(caller), cursor)?;
        let mut from = Scanner::new(&bytes);
        let position = Position::read(&mut from)?;
        let order = if from.byte()? == 1 { Order::Asc } else { Order::Desc };
        let limit = from.optional()?.map(u16::from_be_bytes).ok_or(NotACursor)?;
        Ok(Self { order, limit, position })
    }
}

fn bound(caller: &Caller) -> [Vec<u8>; 2] {
    [b"accounts".to_vec(), caller.user.bits().to_be_bytes().to_vec()]
}

/// For the document, which cannot name a generic type.
type AccountPage = Page<AccountView<'static>>;

/// List one's own accounts
#[utoipa::path(
    get,
    path = "/v1/accounts",
    operation_id = "listAccounts",
    tag = "accounts",
    security(("bearer" = [])),
    params(AccountsParams),
    responses(
        (status = 200, description = "A page of accounts", body = AccountPage),
    ),
    extensions(("x-problems" = json!(["invalid-cursor"]))),
)]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    Query(params): Query<AccountsParams>,
) -> Result<Response, Problem> {
    let accounts = Accounts::of(&app, &caller, &params)?;
    let (order, after) = accounts.position.ask(accounts.order);
    let limit = usize::from(accounts.limit);
    let ask = move |reader: &LedgerReader| {
        // One more than asked for tells whether there is a page after this one.
        reader.accounts(Some(caller.user), order, after, limit + 1)
    };
    let mut rows = app.ledger.query(ask).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let resume = rows.last().filter(|_| more).map(Account::id);
    let turned = accounts.position.turn(accounts.order, rows, resume, None, Account::id);
    let ids = turned.rows.iter().map(Account::id).collect();
    let names = app.directory.labels(caller.user, ids).await?;
    let named = |account| AccountView::new(account, names.get(&account.id()).map(String::as_str));
    let cursor = |position| accounts.cursor(&app, &caller, position);
    let view = Page {
        data: turned.rows.iter().map(named).collect(),
        next_cursor: turned.next.map(cursor),
        prev_cursor: turned.prev.map(cursor),
    };
    Ok(json(StatusCode::OK, &view))
}

/// Look at an account
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}",
    operation_id = "getAccount",
    tag = "accounts",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
        SeenHeader,
    ),
    responses(
        (status = 200, description = "The account", body = AccountView<'static>,
            headers(("ETag" = String, description = "The account's `version` in quotes"))),
        (status = 304, description = "The account is as it was",
            headers(("ETag" = String, description = "The account's `version` in quotes"))),
    ),
    extensions(("x-problems" = json!(["not-account-owner"]))),
)]
async fn account(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    Path(id): Path<AccountId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let account = readable(&app, &caller, id).await?;
    if has_seen(&headers, &IfMatch::tag(account.version())) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag(&account))]).into_response());
    }
    let name = app.directory.label(account.owner(), id).await?;
    Ok(tagged(StatusCode::OK, &account, name.as_deref()))
}

/// Whether `If-None-Match` names the entity tag (RFC 9110, 13.1.2), compared weakly.
fn has_seen(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|seen| seen == "*" || seen.strip_prefix("W/").unwrap_or(seen) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_seen_before_is_known_again() {
        let seen = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, value.parse().unwrap());
            has_seen(&headers, "\"4\"")
        };
        for value in ["\"4\"", "W/\"4\"", "*", "\"1\", \"4\""] {
            assert!(seen(value), "{value}");
        }
        for value in ["\"44\"", "4", ""] {
            assert!(!seen(value), "{value}");
        }
    }
}
