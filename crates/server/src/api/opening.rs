//! Opening an account.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tongjang_core::{Account, AccountId, AccountNumber, Bank, Command, Currency, Event, Rejection};
use tongjang_store::Answer;
use utoipa::ToSchema;

use super::accounts::tagged;
use super::booking::location;
use super::params::KeyHeader;
use super::view::AccountView;
use crate::app::{App, AppState};
use crate::auth::Caller;
use crate::extract::{Body, IdempotencyKeyHeader, NoQuery, account_number, bank, nfc};
use crate::problem::{Code, Member, Problem, REPLAYED, Text};

/// The bank of an account whose opener names none.
pub(crate) const HOUSE_BANK: &str = "tongjang";

/// The most characters of the owner's label.
const NAME_CHARS: usize = 60;

/// How often another number is made where one is taken. With a tenth of a bank's thousand million
/// numbers in use, one opening in 10^20 would find none.
pub(crate) const ATTEMPTS: usize = 20;

/// An account to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"currency": "KRW", "name": "생활비"}))]
pub struct OpenAccount {
    /// The ISO 4217 code of the currency that it will hold.
    #[schema(min_length = 3, max_length = 3, example = "KRW")]
    pub(super) currency: String,
    /// The bank that keeps it: a 3-digit KFTC code or any name; `tongjang` if left out.
    #[schema(min_length = 1, max_length = 40, example = "088")]
    pub(super) bank: Option<String>,
    /// Its number, unique within the bank: letters, digits and hyphens. It is made if left out.
    #[schema(min_length = 1, max_length = 34, example = "110-482-9153776")]
    pub(super) number: Option<String>,
    /// The owner's own label for it, which nobody else sees.
    #[schema(max_length = 60, example = "생활비")]
    pub(super) name: Option<String>,
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
    params(KeyHeader),
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
pub(super) async fn open(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    key: IdempotencyKeyHeader,
    Body(body): Body<OpenAccount>,
) -> Result<Response, Problem> {
    let order = body.read()?;
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

impl OpenAccount {
    /// The parts of it, checked.
    pub(super) fn read(self) -> Result<Opening, Problem> {
        let currency = Currency::new(&self.currency).ok_or_else(|| {
            Problem::invalid(
                "/currency",
                Text::fixed(
                    "must be a currency code of ISO 4217, such as KRW",
                    "KRW 같은 ISO 4217 통화 코드여야 합니다",
                ),
            )
        })?;
        let bank = bank(self.bank.as_deref().unwrap_or(HOUSE_BANK), "/bank")?;
        let number = self.number.as_deref().map(|text| account_number(text, "/number"));
        let number = number.transpose()?;
        let name = self.name.as_deref().map(label).transpose()?.flatten();
        Ok(Opening { currency, bank, number, name })
    }
}

/// What is to be opened.
pub(super) struct Opening {
    pub(super) currency: Currency,
    pub(super) bank: Bank,
    pub(super) number: Option<AccountNumber>,
    pub(super) name: Option<String>,
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
            let answer = app.ledger.perform(request).await;
            let opens_nothing = match &answer {
                Ok(answer) => answer.outcome.is_err(),
                // After any other failure the account may be there.
                Err(problem) => matches!(problem.code(), Code::Overloaded | Code::ShuttingDown),
            };
            if opens_nothing && self.name.is_some() {
                app.directory.set_label(caller.user, nonce, None).await?;
            }
            let answer = answer?;
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
pub(crate) fn made_up(random: u64) -> AccountNumber {
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
}
