//! Random requests over few users, accounts, amounts and keys, so that they meet.

use proptest::prelude::*;
use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Fingerprint, IdempotencyKey,
    Memo, Metadata, Request, Status, Timestamp, UserId,
};

/// The user who may act for every account.
pub(crate) const OPERATOR: u8 = 9;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) user: u8,
    /// Seconds after the start; it may go back.
    pub(crate) at: i64,
    pub(crate) key: Option<u8>,
    pub(crate) version: Option<u64>,
    pub(crate) what: What,
}

/// Accounts are meant by the order in which they were opened; some do not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Open {
        owner: u8,
        currency: Currency,
        number: u8,
        made: bool,
    },
    Deposit {
        account: usize,
        amount: i128,
        memo: &'static str,
        tag: &'static str,
    },
    Withdraw {
        account: usize,
        amount: i128,
        memo: &'static str,
        tag: &'static str,
    },
    Transfer {
        from: usize,
        to: usize,
        amount: i128,
        memo: &'static str,
        to_memo: Option<&'static str>,
    },
    Status {
        account: usize,
        status: Status,
    },
}

pub(crate) fn asks(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Ask>> {
    // Without an account nothing can happen, so most sequences begin with some.
    let opens = prop::collection::vec(open().prop_map(unasked), 0..9);
    let again = prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    let rest = prop::collection::vec((ask(), again), count);
    (opens, rest).prop_map(|(mut asks, rest)| {
        for (ask, again) in rest {
            let earlier = again.filter(|_| !asks.is_empty());
            asks.push(earlier.map_or(ask, |index| index.get(&asks).clone()));
        }
        asks
    })
}

/// What an operator does at the start, without a key.
fn unasked(what: What) -> Ask {
    Ask { user: OPERATOR, at: 0, key: None, version: None, what }
}

fn ask() -> impl Strategy<Value = Ask> {
    let user = prop_oneof![1 => 1..4u8, 1 => Just(OPERATOR)];
    let key = prop_oneof![1 => Just(None), 1 => (0..20u8).prop_map(Some)];
    let version = prop_oneof![9 => Just(None), 1 => (1..6u64).prop_map(Some)];
    (user, 0..5i64, key, version, what()).prop_map(|(user, at, key, version, what)| Ask {
        user,
        at,
        key,
        version,
        what,
    })
}

fn what() -> impl Strategy<Value = What> {
    let memo = || prop::sample::select(vec!["", "급여", "a"]);
    let tag = || prop::sample::select(vec!["", "", "1", "2"]);
    let amount = || prop_oneof![4 => 1..50i128, 1 => Just(Amount::MAX.minor())];
    let one = || 0..5usize;
    let status = prop::sample::select(vec![
        Status::Open,
        Status::Open,
        Status::Open,
        Status::Frozen,
        Status::Closed,
    ]);
    prop_oneof![
        1 => open(),
        4 => (one(), amount(), memo(), tag()).prop_map(|(account, amount, memo, tag)| {
            What::Deposit { account, amount, memo, tag }
        }),
        3 => (one(), 1..50i128, memo(), tag()).prop_map(|(account, amount, memo, tag)| {
            What::Withdraw { account, amount, memo, tag }
        }),
        4 => (one(), one(), 1..50i128, memo(), prop::option::of(memo())).prop_map(
            |(from, to, amount, memo, to_memo)| What::Transfer { from, to, amount, memo, to_memo }
        ),
        2 => (one(), status).prop_map(|(account, status)| What::Status { account, status }),
    ]
}

fn open() -> impl Strategy<Value = What> {
    let currency = prop_oneof![4 => Just("KRW"), 1 => Just("USD")]
        .prop_map(|code| Currency::new(code).expect("a currency"));
    let owner = prop_oneof![Just(1u8), Just(2), Just(3)];
    (owner, currency, 0..12u8, any::<bool>())
        .prop_map(|(owner, currency, number, made)| What::Open { owner, currency, number, made })
}

pub(crate) fn request(ask: &Ask, nonce: u64, opened: &[AccountId]) -> Request {
    let command = command(ask, opened);
    let key = ask.key.map(|key| {
        let key = IdempotencyKey::new(&format!("k{key}")).expect("a key");
        (key, Fingerprint::of(&command))
    });
    let user = UserId::from_bits(ask.user.into());
    Request {
        caller: Caller { user, any_account: ask.user == OPERATOR },
        at: Timestamp::from_micros(1_795_305_600_000_000 + ask.at * 1_000_000),
        nonce,
        key,
        expected_version: ask.version,
        command,
    }
}

pub(crate) fn command(ask: &Ask, opened: &[AccountId]) -> Command {
    let id = |index: usize| {
        let missing = || AccountId::from_bits(u128::try_from(index).expect("small"));
        opened.get(index).copied().unwrap_or_else(missing)
    };
    let amount = |minor| Amount::new(minor).expect("an amount");
    let memo = |text| Memo::new(text).expect("a memo");
    let metadata = |tag: &str| {
        let pair = (!tag.is_empty()).then(|| ("tag".into(), tag.into()));
        Metadata::new(pair.into_iter().collect()).expect("metadata")
    };
    match ask.what {
        What::Open { owner, currency, number, made } => Command::Open {
            owner: UserId::from_bits(owner.into()),
            currency,
            bank: Bank::new("088").expect("a bank"),
            number: AccountNumber::new(&format!("110-{number}")).expect("a number"),
            number_made: made,
        },
        What::Deposit { account, amount: minor, memo: text, tag } => Command::Deposit {
            account: id(account),
            amount: amount(minor),
            memo: memo(text),
            metadata: metadata(tag),
        },
        What::Withdraw { account, amount: minor, memo: text, tag } => Command::Withdraw {
            account: id(account),
            amount: amount(minor),
            memo: memo(text),
            metadata: metadata(tag),
        },
        What::Transfer { from, to, amount: minor, memo: text, to_memo } => Command::Transfer {
            from: id(from),
            to: id(to),
            amount: amount(minor),
            memo: memo(text),
            to_memo: to_memo.map(memo),
            metadata: Metadata::EMPTY,
        },
        What::Status { account, status } => Command::ChangeStatus { account: id(account), status },
    }
}
