//! Requests from eight small numbers each, so that a property test can draw and shrink them and
//! the simulator can make them from its seed.

use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Event, Fingerprint,
    IdempotencyKey, Memo, Metadata, Rejection, Request, Status, Timestamp, UserId,
};

use crate::random::Random;

/// What to do, who, on which account, to which one, how much, which key, which words, how much
/// later. Any eight numbers make a request; many are refused.
pub type Ask = [u8; 8];

/// 2026-11-22T00:00:00Z.
const START: i64 = 1_795_305_600_000_000;
const DAY: i64 = 86_400_000_000;
const OPERATOR: u8 = 7;

/// Where requests get their keys from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// Half of them have one, out of few.
    Few,
    /// Each has one of its own.
    Each,
}

/// Turns numbers into requests, and knows the accounts that were opened.
#[derive(Clone, Debug)]
pub struct Desk {
    accounts: Vec<AccountId>,
    now: i64,
    nonce: u64,
    keys: Keys,
}

impl Desk {
    /// A desk before which nobody stood yet.
    pub fn new(keys: Keys) -> Self {
        Self { accounts: Vec::new(), now: START, nonce: 0, keys }
    }

    /// The accounts that were opened, the oldest first.
    pub fn accounts(&self) -> &[AccountId] {
        &self.accounts
    }

    /// Takes note of an account that was opened.
    pub fn saw(&mut self, outcome: &Result<Event, Rejection>) {
        if let Ok(Event::Opened(opening)) = outcome
            && !self.accounts.contains(&opening.account.id)
        {
            self.accounts.push(opening.account.id);
        }
    }

    /// The request that `ask` stands for now.
    pub fn request(&mut self, ask: Ask) -> Request {
        let [_, who, .., key, _, later] = ask;
        self.nonce += 1;
        // The clock may stand still, go back, and jump to midnight and to just before it.
        self.now += match later % 16 {
            0 | 1 => 0,
            2 => -1_000_000,
            3 => DAY - (self.now - START).rem_euclid(DAY),
            4 => DAY - 1 - (self.now - START).rem_euclid(DAY),
            step => i64::from(step) * i64::from(later),
        };
        let command = self.command(ask);
        let user = UserId::from_bits(u128::from(who % 3) + 1);
        let text = match self.keys {
            Keys::Few if key < 128 => None,
            Keys::Few => Some(format!("k{}", key % 24)),
            Keys::Each => Some(format!("r{}", self.nonce)),
        };
        let key = text.map(|text| {
            let key = IdempotencyKey::new(&text).expect("letters and digits");
            (key, Fingerprint::of(&command))
        });
        Request {
            caller: Caller { user, any_account: who % 16 == OPERATOR },
            at: Timestamp::from_micros(self.now),
            nonce: self.nonce,
            key,
            expected_version: None,
            command,
        }
    }

    fn command(&self, ask: Ask) -> Command {
        let [what, who, one, other, much, _, words, _] = ask;
        let (account, to) = (self.account(one), self.account(other));
        let amount = match much {
            255 => Amount::MAX,
            much => Amount::new(i128::from(much) + 1).expect("it is positive"),
        };
        let memo = memo(words);
        let metadata = match words % 8 {
            0 => Metadata::new(vec![("order".into(), words.to_string().into())])
                .expect("a short pair"),
            _ => Metadata::EMPTY,
        };
        match what % 20 {
            0 | 1 => Command::Open {
                owner: UserId::from_bits(u128::from(who % 3) + 1),
                currency: if other % 4 == 0 { usd() } else { Currency::KRW },
                bank: Bank::new("088").expect("a bank's code"),
                number: AccountNumber::new(&format!("110-{one}")).expect("digits"),
                number_made: other >= 128,
            },
            2 => Command::ChangeStatus {
                account,
                status: match much % 4 {
                    0 => Status::Closed,
                    1 => Status::Frozen,
                    _ => Status::Open,
                },
            },
            3..9 => Command::Deposit { account, amount, memo, metadata },
            9..14 => Command::Withdraw { account, amount, memo, metadata },
            _ => {
                let to_memo = (words % 3 == 0).then(|| self::memo(words.wrapping_add(1)));
                Command::Transfer { from: account, to, amount, memo, to_memo, metadata }
            }
        }
    }

    /// One of the accounts, or now and then one that does not exist.
    fn account(&self, index: u8) -> AccountId {
        let known = self.accounts.get(usize::from(index) % (self.accounts.len() + 1));
        known.copied().unwrap_or(AccountId::from_bits(u128::MAX))
    }
}

/// An ask out of chance alone, but that mostly the operator asks, who is seldom refused.
pub fn random_ask(random: &mut Random) -> Ask {
    let mut ask = random.bits().to_le_bytes();
    if random.below(4) > 0 {
        ask[1] = OPERATOR;
    }
    ask
}

fn memo(words: u8) -> Memo {
    let text = match words % 5 {
        0 => String::new(),
        1 => "급여".into(),
        2 => format!("Coffee {words}"),
        3 => "월세 11월".into(),
        _ => "가".repeat(usize::from(words % 141)),
    };
    Memo::new(&text).expect("at most 140 characters")
}

fn usd() -> Currency {
    Currency::new("USD").expect("ISO 4217 has it")
}
