//! Customers who book over HTTP and remember what they asked and were answered, and what must hold
//! of their passbooks afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::PATIENCE;

/// How many book at once.
pub(crate) const CUSTOMERS: usize = 8;
const PASSWORD: &str = "correct horse battery";

/// Whoever calls, with connections of his own and patience that ends.
pub(crate) fn caller() -> Client {
    Client::builder().timeout(PATIENCE).build().unwrap()
}

/// Somebody with two accounts, and the other customers' accounts to send money to.
#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) number: usize,
    pub(crate) token: String,
    pub(crate) accounts: [String; 2],
    others: Vec<String>,
}

/// A request that was sent, and what was answered if anything was.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) customer: usize,
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) answer: Option<(StatusCode, Value)>,
    /// How often it was sent before that was answered.
    pub(crate) in_vain: usize,
}

/// What is heard after a request was sent.
pub(crate) enum Heard {
    /// The answer, which says in `replayed` whether its key already stood for it.
    Settled(StatusCode, Value),
    /// 503: come again.
    Unavailable,
    /// Nothing: there is no server, or it went away.
    Nothing,
}

impl Heard {
    /// The answer if it settles the request.
    pub(crate) fn settled(self) -> Option<(StatusCode, Value)> {
        match self {
            Self::Settled(status, body) => Some((status, body)),
            Self::Unavailable | Self::Nothing => None,
        }
    }
}

/// So many customers, each of whom knows the others.
pub(crate) async fn all_join(client: &Client, base: &str) -> Vec<Customer> {
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        customers.push(Customer::join(client, base, number).await);
    }
    let firsts: Vec<String> = customers.iter().map(|one| one.accounts[0].clone()).collect();
    for customer in &mut customers {
        let others = firsts.iter().filter(|account| !customer.accounts.contains(account));
        customer.others = others.cloned().collect();
    }
    customers
}

impl Customer {
    pub(crate) async fn join(client: &Client, base: &str, number: usize) -> Self {
        let login = json!({"username": format!("customer{number}"), "password": PASSWORD});
        let call = async |path: &str, token: &str, body: &Value| -> Value {
            let request = client.post(format!("{base}{path}")).bearer_auth(token).json(body);
            let response = request.send().await.unwrap();
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.json().await.unwrap()
        };
        let sign_up = client.post(format!("{base}/v1/users")).json(&login).send().await.unwrap();
        assert_eq!(sign_up.status(), StatusCode::CREATED);
        let log_in = client.post(format!("{base}/v1/tokens")).json(&login).send().await.unwrap();
        let token: Value = log_in.json().await.unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        let mut accounts = [const { String::new() }; 2];
        for account in &mut accounts {
            let opened = call("/v1/accounts", &token, &json!({"currency": "KRW"})).await;
            *account = opened["id"].as_str().unwrap().to_owned();
        }
        Self { number, token, accounts, others: Vec::new() }
    }

    /// The `nth` request of a round: deposits, withdrawals that are sometimes too large, and
    /// transfers to others and between the customer's own accounts.
    pub(crate) fn request(&self, round: usize, nth: usize) -> Sent {
        let [first, second] = &self.accounts;
        let other = &self.others[(nth * 7 + self.number) % self.others.len()];
        let transfer = |to: &str, amount: usize| {
            let memo = "이체";
            json!({"from_account": first, "to_account": to, "amount": amount, "memo": memo})
        };
        let (path, body) = match nth % 5 {
            0 => (format!("/v1/accounts/{first}/deposits"), json!({"amount": 1_000 + nth})),
            1 => (format!("/v1/accounts/{first}/withdrawals"), json!({"amount": 700 + nth})),
            2 => ("/v1/transfers".to_owned(), transfer(other, 90 + nth)),
            3 => ("/v1/transfers".to_owned(), transfer(second, 110)),
            _ => (format!("/v1/accounts/{second}/deposits"), json!({"amount": 1, "memo": "이자"})),
        };
        let key = format!("{round}-{}-{nth}", self.number);
        Sent { customer: self.number, key, path, body, answer: None, in_vain: 0 }
    }

    /// The `nth` line of a stream, and the same as a request of its own.
    pub(crate) fn line(&self, nth: usize) -> (String, Sent) {
        let [first, second] = &self.accounts;
        let (op, path, body) = match nth % 3 {
            2 => {
                let body = json!({"from_account": first, "to_account": second, "amount": 1});
                ("transfer", "/v1/transfers".to_owned(), body)
            }
            _ => ("deposit", format!("/v1/accounts/{first}/deposits"), json!({"amount": 2})),
        };
        let key = format!("line-{nth}");
        let mut line = body.clone();
        (line["op"], line["idempotency_key"]) = (json!(op), json!(key));
        if op == "deposit" {
            line["account"] = json!(first);
        }
        let sent = Sent { customer: self.number, key, path, body, answer: None, in_vain: 0 };
        (format!("{line}\n"), sent)
    }

    /// Sends `sent` and tells what is heard.
    pub(crate) async fn ask(&self, client: &Client, base: &str, sent: &Sent) -> Heard {
        let request = client.post(format!("{base}{}", sent.path)).bearer_auth(&self.token);
        let request = request.header("idempotency-key", &sent.key).json(&sent.body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                assert!(!error.is_timeout(), "{}: no answer within {PATIENCE:?}", sent.key);
                return Heard::Nothing;
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let Ok(mut body) = response.json::<Value>().await else { return Heard::Nothing };
        match status {
            StatusCode::CREATED | StatusCode::UNPROCESSABLE_ENTITY => {
                body["replayed"] = json!(headers.contains_key("idempotency-replayed"));
                Heard::Settled(status, body)
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(headers.contains_key("retry-after"), "{}: {body}", sent.key);
                Heard::Unavailable
            }
            _ => panic!("{} {}: {status} {body}", sent.path, sent.key),
        }
    }

    /// Books without a pause until the server no longer answers, and counts what it `answered`.
    pub(crate) async fn work(
        self,
        client: Client,
        base: String,
        round: usize,
        answered: Arc<AtomicUsize>,
    ) -> Vec<Sent> {
        let mut all = Vec::new();
        for nth in 0.. {
            let mut sent = self.request(round, nth);
            sent.answer = self.ask(&client, &base, &sent).await.settled();
            let gone = sent.answer.is_none();
            all.push(sent);
            if gone {
                break;
            }
            answered.fetch_add(1, SeqCst);
        }
        all
    }

    /// All entries of an account, the oldest first, each of which must follow from the one before.
    pub(crate) async fn passbook(&self, client: &Client, base: &str, account: &str) -> Vec<Value> {
        let mut entries: Vec<Value> = Vec::new();
        let mut next = format!("/v1/accounts/{account}/entries?order=asc&limit=500");
        loop {
            let page = self.look(client, base, &next).await;
            entries.extend(page["data"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("/v1/accounts/{account}/entries?cursor={cursor}");
        }
        let mut balance = 0;
        for (before, entry) in entries.iter().enumerate() {
            assert_eq!(entry["number"], before + 1, "{account}");
            let amount = entry["amount"].as_i64().unwrap();
            balance += if entry["direction"] == "credit" { amount } else { -amount };
            assert_eq!(entry["balance"], balance, "entry {} of {account}", before + 1);
            assert!(balance >= 0, "entry {} of {account}", before + 1);
        }
        let shown = self.look(client, base, &format!("/v1/accounts/{account}")).await;
        assert_eq!(
            (&shown["balance"], &shown["entry_count"]),
            (&json!(balance), &json!(entries.len()))
        );
        entries
    }

    pub(crate) async fn look(&self, client: &Client, base: &str, path: &str) -> Value {
        let request = client.get(format!("{base}{path}")).bearer_auth(&self.token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }
}

/// Asks for everything again that was sent in the round: what was answered is answered so once
/// more, and what was not now is.
pub(crate) async fn settle(
    client: &Client,
    base: &str,
    customers: &[Customer],
    round: &mut [Sent],
) {
    for sent in round {
        let customer = &customers[sent.customer];
        let heard = customer.ask(client, base, sent).await.settled();
        let (status, mut body) = heard.unwrap_or_else(|| panic!("{} is not settled", sent.key));
        if let Some((before, mut answered)) = sent.answer.take() {
            assert_eq!(body["replayed"], true, "{}: what was answered is lost", sent.key);
            answered["replayed"] = json!(true);
            assert_eq!((status, &body), (before, &answered), "{}", sent.key);
            if status == StatusCode::CREATED {
                let path = format!("/v1/transactions/{}", body["id"].as_str().unwrap());
                let mut kept = customer.look(client, base, &path).await;
                kept["replayed"] = json!(true);
                assert_eq!(kept, body, "{}", sent.key);
            }
        }
        body["replayed"] = json!(true);
        sent.answer = Some((status, body));
    }
}

/// Every account's history holds exactly what was answered over all rounds, once.
pub(crate) async fn compare(client: &Client, base: &str, customers: &[Customer], all: &[Sent]) {
    let mut booked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sent in all {
        let Some((StatusCode::CREATED, body)) = &sent.answer else { continue };
        let id = body["id"].as_str().unwrap();
        let from = sent.path.split('/').nth(3);
        let named = [from, sent.body["from_account"].as_str(), sent.body["to_account"].as_str()];
        for account in named.into_iter().flatten() {
            let fresh = booked.entry(account.to_owned()).or_default().insert(id.to_owned());
            assert!(fresh, "{}: two requests share {id}", sent.key);
        }
    }
    for customer in customers {
        for account in &customer.accounts {
            let entries = customer.passbook(client, base, account).await;
            let id = |entry: &Value| entry["transaction_id"].as_str().unwrap().to_owned();
            let kept: BTreeSet<String> = entries.iter().map(id).collect();
            assert_eq!(kept.len(), entries.len(), "{account} has a booking twice");
            let expected = booked.get(account).cloned().unwrap_or_default();
            assert_eq!(kept, expected, "{account}: what is kept and what was answered");
        }
    }
}
