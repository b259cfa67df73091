//! Accounts: opening one, and looking at one's own.

use axum::extract::State;
use axum::http::header::{ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tongjang_core::{
    Account, AccountId, AccountNumber, Balance, Bank, Command, Currency, EntryNumber, Event,
    Rejection,
};
use tongjang_store::{Answer, Order, Reader as _};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{location, readable};
use super::json;
use super::listing::{ListOrder, limit, zone_or};
use super::page::{DEFAULT_LIMIT, Page, Position};
use super::view::AccountView;
use crate::app::{App, AppState};
use crate::auth::Caller;
use crate::cursor::{NotACursor, Scanner, Writer};
use crate::extract::{Body, IdempotencyKeyHeader, IfMatch, Path, Query, account_number, bank, nfc};
use crate::problem::{Code, Member, Problem, REPLAYED, Text};
use crate::when::{Utc, When};

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(open, list))
        .routes(routes!(account))
        .routes(routes!(balance))
}

/// The bank of an account whose opener names none.
const HOUSE_BANK: &str = "tongjang";

/// The most characters of the owner's label.
const NAME_CHARS: usize = 60;

/// How often another number is made where one is taken. With a tenth of a bank's thousand million
/// numbers in use, one opening in 10^20 would find none.
const ATTEMPTS: usize = 20;

/// An account to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"currency": "KRW", "name": "생활비"}))]
pub struct OpenAccount {
    /// The ISO 4217 code of the currency that it will hold.
    #[schema(min_length = 3, max_length = 3, example = "KRW")]
    currency: String,
    /// The bank that keeps it: a 3-digit KFTC code or any name; `tongjang` if left out.
    #[schema(min_length = 1, max_length = 40, example = "088")]
    bank: Option<String>,
    /// Its number, unique within the bank: letters, digits and hyphens. It is made if left out.
    #[schema(min_length = 1, max_length = 34, example = "110-482-9153776")]
    number: Option<String>,
    /// The owner's own label for it, which nobody else sees.
    #[schema(max_length = 60, example = "생활비")]
    name: Option<String>,
}

/// Open an account
///
/// The caller will own it. Send an `Idempotency-Key`, so that a retry opens no second one.
#[utoipa::path(
    post,
    path = "/v1/accounts",
    operation_id = "openAccount",
    tag = "accounts",
    security(("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, max_length = 257,
            description = "1 to 255 visible ASCII characters, bare or in double quotes, that \
                name this request among all of the caller's",
            example = "5f3c1c1e-2f4b-4a5e-9c1d-7d2f6f1b8a90"),
    ),
    request_body = OpenAccount,
    responses(
        (status = 201, description = "Opened, and durable", body = AccountView<'static>,
            headers(
                ("Location" = String, description = "The account's address"),
                ("ETag" = String, description = "The account's `version` in quotes"),
                ("Idempotency-Replayed" = String,
                    description = "`true`, if the key already stood for this answer"),
            )),
    ),
    extensions(("x-problems" = json!(["account-number-taken", "idempotency-key-reused"]))),
)]
async fn open(
    State(app): State<AppState>,
    caller: Caller,
    key: IdempotencyKeyHeader,
    Body(body): Body<OpenAccount>,
) -> Result<Response, Problem> {
    let currency = Currency::new(&body.currency).ok_or_else(|| {
        Problem::invalid(
            "/currency",
            Text::fixed(
                "must be a currency code of ISO 4217, such as KRW",
                "KRW 같은 ISO 4217 통화 코드여야 합니다",
            ),
        )
    })?;
    let bank = bank(body.bank.as_deref().unwrap_or(HOUSE_BANK), "/bank")?;
    let number = body.number.as_deref().map(|text| account_number(text, "/number")).transpose()?;
    let name = body.name.as_deref().map(label).transpose()?.flatten();
    let order = Opening { currency, bank, number, name };
    let (answer, nonce) = order.perform(&app, &caller, key).await?;
    let opened = match answer.outcome {
        Ok(Event::Opened(opening)) => opening.account,
        Ok(other) => unreachable!("an opening is asked for, and {other:?} came of it"),
        Err(rejection) => return Err(Problem::from(rejection).replayed(answer.replayed)),
    };
    if answer.replayed {
        order.same_name(&app, &caller, opened.id, nonce).await?;
    }
    let account = Account::open(opened);
    let mut response = tagged(StatusCode::CREATED, &account, order.name.as_deref());
    let headers = response.headers_mut();
    headers.insert(LOCATION, location("/v1/accounts/", &account.id()));
    if answer.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What is to be opened.
struct Opening {
    currency: Currency,
    bank: Bank,
    number: Option<AccountNumber>,
    name: Option<String>,
}

impl Opening {
    /// Has the account opened, under another number while one that we made up is taken. Also
    /// returns the random half of the id, under which the label was put down.
    async fn perform(
        &self,
        app: &App,
        caller: &Caller,
        key: IdempotencyKeyHeader,
    ) -> Result<(Answer, u64), Problem> {
        for _ in 0..ATTEMPTS {
            let number_made = self.number.is_none();
            let number = self.number.clone().unwrap_or_else(|| made_up(app.random.nonce()));
            let command = Command::Open {
                owner: caller.user,
                currency: self.currency,
                bank: self.bank.clone(),
                number,
                number_made,
            };
            let request = app.request(caller.as_owner(), command, key.0.clone(), None);
            let nonce = request.nonce;
            // The label comes first, so that an account that was answered has its name. One whose
            // account is then not opened belongs to no id and is taken away again.
            if let Some(name) = &self.name {
                app.directory.set_label(caller.user, nonce, Some(name.clone())).await?;
            }
            let answer = app.ledger.perform(request).await?;
            if answer.outcome.is_err() && self.name.is_some() {
                app.directory.set_label(caller.user, nonce, None).await?;
            }
            let taken = answer.outcome == Err(Rejection::AccountNumberTaken);
            if !(taken && number_made) {
                return Ok((answer, nonce));
            }
        }
        Err(Problem::new(Code::AccountNumberTaken))
    }

    /// Checks that a request whose key already stood for an account asks for the same label too,
    /// which the ledger does not know of.
    async fn same_name(
        &self,
        app: &App,
        caller: &Caller,
        account: AccountId,
        nonce: u64,
    ) -> Result<(), Problem> {
        if self.name.is_some() {
            app.directory.set_label(caller.user, nonce, None).await?;
        }
        if app.directory.label(caller.user, account).await? == self.name {
            return Ok(());
        }
        let fields = Member::Names(vec!["name"]);
        Err(Problem::new(Code::IdempotencyKeyReused).member("fields", fields))
    }
}

/// The owner's label that `text` says; none, if it says nothing.
fn label(text: &str) -> Result<Option<String>, Problem> {
    let text = nfc(text);
    let text = text.trim();
    if text.chars().nth(NAME_CHARS).is_some() || text.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "/name",
            Text::fixed(
                "must have at most 60 characters and no control characters",
                "60자 이하이고 제어 문자가 없어야 합니다",
            ),
        ));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// An account number out of chance: `110`, nine digits, and a check digit after Luhn
/// (ISO/IEC 7812-1, annex B), so that a slip of the pen names no other account.
fn made_up(random: u64) -> AccountNumber {
    let payload = format!("110{:09}", random % 1_000_000_000);
    let number = format!("{payload}{}", luhn(&payload));
    let number = format!("{}-{}-{}", &number[..3], &number[3..6], &number[6..]);
    AccountNumber::new(&number).expect("13 digits and 2 hyphens are an account number")
}

/// The digit after which `digits` and it pass Luhn's check.
fn luhn(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match place % 2 {
                0 if digit > 4 => 2 * digit - 9,
                0 => 2 * digit,
                _ => digit,
            }
        })
        .sum();
    (10 - sum % 10) % 10
}

/// The account with its entity tag.
fn tagged(status: StatusCode, account: &Account, name: Option<&str>) -> Response {
    let mut response = json(status, &AccountView::new(account, name));
    response.headers_mut().insert(ETAG, tag(account));
    response
}

fn tag(account: &Account) -> HeaderValue {
    HeaderValue::try_from(IfMatch::tag(account.version())).expect("digits in quotes are ASCII")
}

/// Which page of one's own accounts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccountsParams {
    /// How many accounts a page has at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// Newest first (`desc`) or oldest first (`asc`).
    #[param(inline, default = "desc")]
    order: Option<ListOrder>,
    /// A `next_cursor` or `prev_cursor` of this listing, which carries the order and the limit.
    cursor: Option<String>,
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

/// List one's own accounts
#[utoipa::path(
    get,
    path = "/v1/accounts",
    operation_id = "accounts",
    tag = "accounts",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of accounts", body = Page<AccountView<'static>>),
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
    let ask = move |reader: &crate::ledger::LedgerReader| {
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
    operation_id = "account",
    tag = "accounts",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
        ("If-None-Match" = Option<String>, Header,
            description = "Answer 304 without a body if the account's `ETag` is still this one",
            example = "\"4\""),
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
    Path(id): Path<AccountId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let account = readable(&app, &caller, id)?;
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

/// When to look at a balance.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BalanceParams {
    /// The time: an RFC 3339 time with an offset, whose `+` is written `%2B`, or a date, which
    /// means the end of that day. Now, if left out.
    #[param(example = "2026-11-22")]
    at: Option<String>,
    /// The IANA time zone in which a date is read, instead of the ledger's.
    #[param(example = "Asia/Seoul")]
    tz: Option<String>,
}

/// An account's balance at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BalanceAt)]
pub struct BalanceView {
    /// The time.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T14:59:59.999999Z")]
    at: Utc,
    /// The balance after the last entry booked at or before it.
    #[schema(format = "int128", example = 125000)]
    balance: i128,
    /// The number of that entry; null before the first one.
    #[schema(required, minimum = 1, example = 3)]
    entry_number: Option<u64>,
}

/// Look at an account's balance at a time
///
/// The balance after the last entry booked at or before that time.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/balance",
    operation_id = "balance",
    tag = "accounts",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
    ),
    responses(
        (status = 200, description = "The balance", body = BalanceView),
    ),
    extensions(("x-problems" = json!(["not-account-owner"]))),
)]
async fn balance(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AccountId>,
    Query(params): Query<BalanceParams>,
) -> Result<Response, Problem> {
    let account = readable(&app, &caller, id)?;
    let zone = zone_or(params.tz.as_deref(), &app.config.time_zone)?;
    let at = match &params.at {
        Some(text) => When::read(text)
            .and_then(|when| when.at(&zone))
            .map_err(|error| Problem::invalid("/at", error.text()))?,
        // A busy account's newest entry may stand a little ahead of the clock.
        None => app.clock.now().max(account.standing().last_booked_at),
    };
    let ask = move |reader: &crate::ledger::LedgerReader| {
        let Some(number) = EntryNumber::new(reader.entries_before(id, at.next())?) else {
            return Ok((Balance::ZERO, None));
        };
        let row = reader.entry(id, number)?;
        let row = row.expect("an account has every entry up to its count");
        Ok((row.entry.balance, Some(number.get())))
    };
    let (balance, entry_number) = app.ledger.query(ask).await?;
    let view = BalanceView { at: Utc(at), balance: balance.minor(), entry_number };
    Ok(json(StatusCode::OK, &view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_made_up_has_thirteen_digits_that_pass_luhns_check() {
        // The example of ISO/IEC 7812-1 and its like: 7992739871 is followed by 3.
        assert_eq!(luhn("7992739871"), 3);
        for random in [0, 1, 482_915_377, 999_999_999, u64::MAX] {
            let number = made_up(random);
            let bare = number.bare();
            let (head, check) = bare.split_at(12);
            assert_eq!(number.as_str().len(), 15, "{number:?}");
            assert!(number.as_str().starts_with("110-"), "{number:?}");
            assert_eq!(luhn(head).to_string(), check, "{number:?}");
        }
    }

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
