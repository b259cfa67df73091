//! People with accounts: what most tests of money begin with.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::app::{Answer, PASSWORD, TestApp, answer};

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) token: String,
    pub(crate) id: String,
}

impl TestApp {
    /// A customer who is called `name` by others too.
    pub(crate) async fn customer(&self, name: &str) -> Person {
        let body = json!({"username": name, "password": PASSWORD, "name": name});
        let user = self.post(None, "/v1/users", body).await.expect(201);
        Person { token: self.log_in(name).await, id: text(&user, "id") }
    }

    /// An account of `owner` in `currency`: its id.
    pub(crate) async fn account_in(&self, owner: &Person, currency: &str) -> String {
        let body = json!({"currency": currency});
        text(&self.post(Some(&owner.token), "/v1/accounts", body).await.expect(201), "id")
    }

    /// An account of `owner` with so many won on it: its id.
    pub(crate) async fn account(&self, owner: &Person, balance: i64) -> String {
        let account = self.account_in(owner, "KRW").await;
        if balance > 0 {
            self.deposit(owner, &account, json!({"amount": balance})).await.expect(201);
        }
        account
    }

    /// A `POST` of `body` as `person`, to be given further headers and sent with [`answer`].
    pub(crate) fn asks(&self, person: &Person, path: &str, body: Value) -> RequestBuilder {
        self.request(Method::POST, path).bearer_auth(&person.token).json(&body)
    }

    pub(crate) async fn deposit(&self, person: &Person, account: &str, body: Value) -> Answer {
        answer(self.asks(person, &format!("/v1/accounts/{account}/deposits"), body)).await
    }

    pub(crate) async fn withdraw(&self, person: &Person, account: &str, body: Value) -> Answer {
        answer(self.asks(person, &format!("/v1/accounts/{account}/withdrawals"), body)).await
    }

    pub(crate) async fn transfer(&self, person: &Person, body: Value) -> Answer {
        answer(self.asks(person, "/v1/transfers", body)).await
    }

    /// `GET path` as `person`.
    pub(crate) async fn look(&self, person: &Person, path: &str) -> Answer {
        self.get(Some(&person.token), path).await
    }

    /// The account as its owner sees it.
    pub(crate) async fn seen(&self, person: &Person, account: &str) -> Value {
        self.look(person, &format!("/v1/accounts/{account}")).await.expect(200)
    }

    /// What is on the account.
    pub(crate) async fn balance(&self, person: &Person, account: &str) -> i64 {
        self.seen(person, account).await["balance"].as_i64().unwrap()
    }
}

/// The text member `name`.
#[track_caller]
pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}
