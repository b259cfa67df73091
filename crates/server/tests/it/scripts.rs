//! The scripts of `testdata/`, through HTTP.

use std::collections::{BTreeMap, HashMap};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Runtime;
use tongjang_core::{AccountId, Status};
use tongjang_script::{
    Action, Ask, HistoryRow, Ledger, Money, Observed, Outcome, Step, Target, instant, run,
    run_folder,
};

use crate::app::{Answer, TestApp, answer, new_ledger};

#[test]
fn the_scripts_go_through_http_as_they_are_written() {
    through_http(false, false);
}

#[test]
fn the_scripts_go_through_a_server_on_a_database_as_they_are_written() {
    through_http(false, true);
}

/// Each command as a batch of its own.
#[test]
fn the_scripts_go_through_batches_as_they_are_written() {
    through_http(true, false);
}

/// Each command as a batch of its own, on a database.
#[test]
fn the_scripts_go_through_batches_on_a_database_as_they_are_written() {
    through_http(true, true);
}

fn through_http(batches: bool, database: bool) {
    let done = run_folder(Target::Http, |script| {
        let runtime = Runtime::new().unwrap();
        let database = database.then(|| runtime.block_on(new_ledger(4)));
        let app = runtime.block_on(async {
            match &database {
                Some(database) => TestApp::on(database).await,
                None => TestApp::start().await,
            }
        });
        let operator = runtime.block_on(app.operator("boss"));
        let (people, accounts) = (HashMap::new(), Vec::new());
        run(script, &mut Bank { runtime, app, batches, operator, people, accounts })
    });
    done.unwrap_or_else(|failures| panic!("\n{failures}\n"));
}

/// A server, and who and what its script has named so far.
struct Bank {
    runtime: Runtime,
    app: TestApp,
    /// Whether commands go through `/v1/batches`, but for those that name a version.
    batches: bool,
    operator: String,
    people: HashMap<String, String>,
    accounts: Vec<(String, String)>,
}

/// Amounts have up to 128 bits, which `Value` has no place for.
#[derive(Serialize)]
struct MoneyBody<'a> {
    amount: i128,
    memo: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_memo: Option<&'a str>,
}

#[derive(Deserialize)]
struct Transaction {
    entries: Vec<Row>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    account_id: String,
    number: u64,
    direction: String,
    amount: i128,
    balance: i128,
    memo: Option<String>,
    counterparty: Option<Counterparty>,
    booked_at: String,
}

#[derive(Deserialize)]
struct Counterparty {
    account_id: String,
}

#[derive(Deserialize)]
struct Account {
    balance: i128,
    entry_count: u64,
    status: String,
    version: u64,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    available: Option<i128>,
    #[serde(default)]
    fields: Vec<String>,
}

#[derive(Deserialize)]
struct Totals {
    data: Vec<CurrencyTotals>,
}

#[derive(Deserialize)]
struct CurrencyTotals {
    currency: String,
    accounts: u64,
    transactions: u64,
    customer_balance: i128,
    settlement_balance: i128,
}

impl Ledger for Bank {
    fn perform(&mut self, step: &Step) -> Observed {
        match step {
            // The server has a clock of its own.
            Step::At(_) => Observed::Done,
            Step::Ask(ask) => self.ask(ask),
            Step::Account(name) => {
                let account: Account = read(&self.look(&format!("/v1/accounts/{}", self.id(name))));
                let known = [Status::Open, Status::Frozen, Status::Closed];
                Observed::Account {
                    balance: account.balance,
                    entries: account.entry_count,
                    status: known.into_iter().find(|s| s.as_str() == account.status).unwrap(),
                    version: account.version,
                }
            }
            Step::History(name) => {
                let path = format!("/v1/accounts/{}/entries?order=asc&limit=500", self.id(name));
                let page: Page = read(&self.look(&path));
                Observed::History(page.data.into_iter().map(|row| self.row(row)).collect())
            }
            Step::Ledger(currency) => {
                let totals: Totals = read(&self.look("/v1/ledger"));
                let row = totals.data.into_iter().find(|row| row.currency == currency.code());
                row.map_or(
                    Observed::Ledger { accounts: 0, transactions: 0, customers: 0, settlement: 0 },
                    |row| Observed::Ledger {
                        accounts: row.accounts,
                        transactions: row.transactions,
                        customers: row.customer_balance,
                        settlement: row.settlement_balance,
                    },
                )
            }
        }
    }
}

impl Bank {
    fn ask(&mut self, ask: &Ask) -> Observed {
        let (path, body) = match &ask.action {
            Action::Open { owner: Some(_), .. } | Action::ChangeStatus { .. } => {
                return Observed::Broken("there is no such call yet".into());
            }
            Action::Open { currency, bank, number, .. } => {
                let body = json!({"currency": currency, "bank": bank, "number": number});
                ("/v1/accounts".to_owned(), body.to_string())
            }
            Action::Deposit { account, money } => {
                (format!("/v1/accounts/{}/deposits", self.id(account)), written(money, None))
            }
            Action::Withdraw { account, money } => {
                (format!("/v1/accounts/{}/withdrawals", self.id(account)), written(money, None))
            }
            Action::Transfer { from, to, money, to_memo } => {
                let sides = Some((self.id(from), self.id(to), to_memo.as_deref()));
                ("/v1/transfers".to_owned(), written(money, sides))
            }
        };
        let token = self.token(&ask.caller);
        if self.batches && ask.version.is_none() {
            let line = self.line(ask, &body);
            let answer = self.runtime.block_on(in_a_batch(&self.app, &token, line));
            return Observed::Outcome(self.outcome(ask, &answer));
        }
        let mut request = self.app.request(Method::POST, &path).bearer_auth(token).body(body);
        request = request.header("content-type", "application/json");
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(version) = ask.version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let answer = self.runtime.block_on(answer(request));
        Observed::Outcome(self.outcome(ask, &answer))
    }

    /// The command of a batch that asks for the same as `body` does.
    fn line(&self, ask: &Ask, body: &str) -> String {
        let op = match &ask.action {
            Action::Open { .. } => "open",
            Action::Deposit { .. } => "deposit",
            Action::Withdraw { .. } => "withdrawal",
            Action::Transfer { .. } | Action::ChangeStatus { .. } => "transfer",
        };
        let mut members = vec![format!("\"op\":\"{op}\"")];
        if let Action::Deposit { account, .. } | Action::Withdraw { account, .. } = &ask.action {
            members.push(format!("\"account\":\"{}\"", self.id(account)));
        }
        if let Some(key) = &ask.key {
            members.push(format!("\"idempotency_key\":{}", json!(key)));
        }
        format!("{{{},{}", members.join(","), &body[1..])
    }

    fn outcome(&mut self, ask: &Ask, answer: &Answer) -> Outcome {
        let replayed = answer.header("idempotency-replayed") == "true";
        if !answer.status.is_success() {
            let Problem { code, available, fields } = read(answer);
            return Outcome::Refused { code, available, fields, replayed };
        }
        if let Action::Open { name, .. } = &ask.action {
            let id = crate::bank::text(&answer.json(), "id");
            self.accounts.push((name.clone(), id));
            return Outcome::Ok { replayed };
        }
        let (booked, account): (Transaction, _) = (read(answer), self.id(ask.action.subject()));
        let entry = booked.entries.iter().find(|entry| entry.account_id == account);
        Outcome::Booked { balance: entry.expect("one's own entry is shown").balance, replayed }
    }

    fn row(&self, row: Row) -> HistoryRow {
        let name = |id: String| {
            let known = self.accounts.iter().find(|(_, known)| *known == id);
            known.map_or(id.clone(), |(name, _)| name.clone())
        };
        HistoryRow {
            number: row.number,
            amount: if row.direction == "debit" { -row.amount } else { row.amount },
            balance: row.balance,
            memo: row.memo.unwrap_or_default(),
            counterparty: row.counterparty.map(|other| name(other.account_id)),
            booked_at: instant(&row.booked_at).unwrap(),
        }
    }

    fn look(&self, path: &str) -> Answer {
        self.runtime.block_on(self.app.get(Some(&self.operator), path))
    }

    /// The token of this user, who signs up when first named.
    fn token(&mut self, name: &str) -> String {
        if let Some(token) = self.people.get(name) {
            return token.clone();
        }
        let token = match name {
            "operator" => self.operator.clone(),
            name => self.runtime.block_on(self.app.user(name)),
        };
        self.people.insert(name.to_owned(), token.clone());
        token
    }

    /// The id of this account; one that does not exist if none was opened under the name.
    fn id(&self, name: &str) -> String {
        let known = self.accounts.iter().find(|(known, _)| known == name);
        known.map_or_else(|| AccountId::from_bits(1).to_string(), |(_, id)| id.clone())
    }
}

/// An outcome, whose parts are not looked into: amounts have up to 128 bits.
#[derive(Deserialize)]
struct BatchOutcome {
    status: u16,
    #[serde(default)]
    replayed: bool,
    body: Option<Box<serde_json::value::RawValue>>,
    problem: Option<Box<serde_json::value::RawValue>>,
}

/// What a batch of this one line is answered, as the single call would answer it.
async fn in_a_batch(app: &TestApp, token: &str, line: String) -> Answer {
    let request = app.request(Method::POST, "/v1/batches?answer=full").bearer_auth(token);
    let request = request.header("content-type", "application/x-ndjson").body(line);
    let Answer { mut headers, text, .. } = answer(request).await;
    let outcome: BatchOutcome = serde_json::from_str(&text).unwrap();
    if outcome.replayed {
        headers.insert("idempotency-replayed", "true".parse().unwrap());
    }
    let status = outcome.status.try_into().unwrap();
    let text = outcome.body.or(outcome.problem).expect("one of the two").get().to_owned();
    Answer { status, headers, text }
}

fn written(money: &Money, sides: Option<(String, String, Option<&str>)>) -> String {
    let (from_account, to_account, to_memo) = match sides {
        Some((from, to, to_memo)) => (Some(from), Some(to), to_memo),
        None => (None, None, None),
    };
    let metadata = money.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let body = MoneyBody {
        amount: money.amount,
        memo: &money.memo,
        metadata: metadata.collect(),
        from_account,
        to_account,
        to_memo,
    };
    serde_json::to_string(&body).unwrap()
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> T {
    serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}
