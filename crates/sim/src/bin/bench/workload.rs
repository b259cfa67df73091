//! Requests to measure with: transfers between random accounts, every one with a key.

use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Fingerprint, IdempotencyKey,
    Memo, Metadata, Request, Timestamp, UserId,
};

/// Splitmix64: <https://prng.di.unimi.it/splitmix64.c>, public domain.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Makes requests that all succeed. Time steps by a microsecond a request.
pub(crate) struct Workload {
    pub(crate) random: Random,
    pub(crate) accounts: Vec<AccountId>,
    pub(crate) made: u64,
    /// One transfer in so many pays into the first account; 0 for none.
    pub(crate) hot: u64,
}

/// Everybody in a measurement is this user.
pub(crate) const USER: UserId = UserId::from_bits(1 << 64);
const START: i64 = 1_700_000_000_000_000;

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random(seed), accounts: Vec::new(), made: 0, hot: 0 }
    }

    /// A workload that goes on where `made` requests ended.
    pub(crate) fn request(&mut self, keyed: bool, command: Command) -> Request {
        self.made += 1;
        let key = keyed.then(|| {
            let text = format!("{:016x}", self.random.next());
            let key = IdempotencyKey::new(&text).expect("digits are visible ASCII");
            (key, Fingerprint::of(&command))
        });
        Request {
            caller: Caller::owner(USER),
            at: Timestamp::from_micros(START + self.made as i64),
            nonce: self.random.next(),
            key,
            expected_version: None,
            command,
        }
    }

    pub(crate) fn open(&mut self) -> Request {
        let number = format!("{:013}", self.made);
        let command = Command::Open {
            owner: USER,
            currency: Currency::KRW,
            bank: Bank::new("088").expect("three digits name a bank"),
            number: AccountNumber::new(&number).expect("digits are a number"),
            number_made: false,
        };
        self.request(false, command)
    }

    pub(crate) fn deposit(&mut self, account: AccountId, amount: i128) -> Request {
        let amount = Amount::new(amount).expect("a small amount");
        let (memo, metadata) = (Memo::EMPTY, Metadata::EMPTY);
        self.request(false, Command::Deposit { account, amount, memo, metadata })
    }

    pub(crate) fn transfer(&mut self) -> Request {
        let count = self.accounts.len() as u64;
        let from = self.random.below(count);
        let mut to = self.random.below(count);
        if self.hot > 0 && self.made.is_multiple_of(self.hot) {
            to = 0;
        }
        if to == from {
            to = (to + 1) % count;
        }
        let command = Command::Transfer {
            from: self.accounts[from as usize],
            to: self.accounts[to as usize],
            amount: Amount::new(1 + i128::from(self.random.below(1000))).expect("1 to 1000"),
            memo: Memo::EMPTY,
            to_memo: None,
            metadata: Metadata::EMPTY,
        };
        self.request(true, command)
    }
}
