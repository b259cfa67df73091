//! Requests to measure with: bookings on accounts drawn as a shape says, all of which succeed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Fingerprint, IdempotencyKey,
    Memo, Metadata, Request, Timestamp, UserId,
};

/// Splitmix64: <https://prng.di.unimi.it/splitmix64.c>, public domain.
#[derive(Clone, Debug)]
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

    /// From 0 to 1, which is left out.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Which accounts take part how often.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Shape {
    /// All alike.
    Uniform,
    /// The n-th most popular one 1/n^s as often as the first.
    Zipf(f64),
    /// One account is on one side of every tenth booking, the others alike.
    Hot,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let exponent = |text: &str| text.parse::<f64>().ok().filter(|s| (0.01..=10.0).contains(s));
        match text.split_once('=').unwrap_or((text, "")) {
            ("uniform", "") if !text.contains('=') => Ok(Self::Uniform),
            ("hot", "") if !text.contains('=') => Ok(Self::Hot),
            ("zipf", "") if !text.contains('=') => Ok(Self::Zipf(1.0)),
            ("zipf", s) => exponent(s)
                .map(Self::Zipf)
                .ok_or_else(|| format!("{s:?} is no exponent from 0.01 to 10, as in zipf=1.1")),
            _ => Err(format!("{text:?} is no shape: uniform, zipf, zipf=S or hot")),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(s) => write!(f, "zipf={s}"),
            Self::Hot => f.write_str("hot"),
        }
    }
}

/// Draws from 1 to n, k as often as 1/k^s, in constant time: rejection-inversion, W. Hörmann and
/// G. Derflinger, ACM Transactions on Modeling and Computer Simulation 6 (1996), 169-184.
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    first: f64,
    last: f64,
    near: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut zipf = Self { count: count as f64, exponent, first: 0.0, last: 0.0, near: 0.0 };
        zipf.first = zipf.area(1.5) - 1.0;
        zipf.last = zipf.area(zipf.count + 0.5);
        zipf.near = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.height(2.0));
        zipf
    }

    fn height(&self, x: f64) -> f64 {
        x.powf(-self.exponent)
    }

    /// The integral of the height; near an exponent of 1 it is the logarithm.
    fn area(&self, x: f64) -> f64 {
        let (log, power) = (x.ln(), 1.0 - self.exponent);
        if (power * log).abs() < 1e-8 { log } else { (power * log).exp_m1() / power }
    }

    fn area_inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        let t = (area * power).max(-1.0);
        if t.abs() < 1e-8 { area.exp() } else { (t.ln_1p() / power).exp() }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.last + random.unit() * (self.first - self.last);
            let x = self.area_inverse(area);
            let nearest = x.round().clamp(1.0, self.count);
            let sure = nearest - x <= self.near;
            if sure || area >= self.area(nearest + 0.5) - self.height(nearest) {
                return nearest as u64;
            }
        }
    }
}

/// Makes requests that all succeed.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) random: Random,
    accounts: Arc<[AccountId]>,
    made: u64,
    shape: Shape,
    zipf: Option<Zipf>,
    /// Whether each booking has a key.
    keyed: bool,
    /// How many of 100 bookings are deposits.
    deposits: u64,
    /// How many microseconds lie between two requests.
    step: u64,
}

/// Everybody in a measurement is this user.
pub(crate) const USER: UserId = UserId::from_bits(1 << 64);

/// Each account gets so much before all else; nobody ever pays as much.
const ENOUGH: i128 = 1_000_000_000_000;
const START: i64 = 1_700_000_000_000_000;

impl Workload {
    /// Transfers between accounts that are all alike, each with a key, a microsecond apart.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            accounts: Arc::from([]),
            made: 0,
            shape: Shape::Uniform,
            zipf: None,
            keyed: true,
            deposits: 0,
            step: 1,
        }
    }

    pub(crate) fn shaped(self, shape: Shape, keyed: bool, deposits: u64, step: u64) -> Self {
        Self { shape, keyed, deposits, step, ..self }
    }

    /// The accounts that take part from now on, in any order.
    pub(crate) fn take_part(&mut self, accounts: Arc<[AccountId]>) {
        let count = accounts.len() as u64;
        self.zipf = match self.shape {
            Shape::Zipf(exponent) => Some(Zipf::new(count, exponent)),
            Shape::Uniform | Shape::Hot => None,
        };
        self.accounts = accounts;
    }

    pub(crate) fn accounts(&self) -> &[AccountId] {
        &self.accounts
    }

    fn request(&mut self, keyed: bool, command: Command) -> Request {
        self.made += 1;
        let key = keyed.then(|| {
            let text = format!("{:016x}", self.random.next());
            let key = IdempotencyKey::new(&text).expect("digits are visible ASCII");
            (key, Fingerprint::of(&command))
        });
        let micros = i64::try_from(self.made * self.step).expect("a measurement ends some day");
        Request {
            caller: Caller::owner(USER),
            at: Timestamp::from_micros(START + micros),
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

    /// The money that an account begins with.
    pub(crate) fn endow(&mut self, account: AccountId) -> Request {
        self.deposit(account, ENOUGH, false)
    }

    fn deposit(&mut self, account: AccountId, amount: i128, keyed: bool) -> Request {
        let amount = Amount::new(amount).expect("an amount from 1 on");
        let (memo, metadata) = (Memo::EMPTY, Metadata::EMPTY);
        self.request(keyed, Command::Deposit { account, amount, memo, metadata })
    }

    /// A transfer or a deposit, as the plan has it.
    pub(crate) fn booking(&mut self) -> Request {
        let amount = 1 + i128::from(self.random.below(1000));
        let (from, to) = self.sides();
        if self.deposits > 0 && self.random.below(100) < self.deposits {
            return self.deposit(self.accounts[to], amount, self.keyed);
        }
        let (from, to) = self.apart(from, to);
        let command = Command::Transfer {
            from,
            to,
            amount: Amount::new(amount).expect("1 to 1000"),
            memo: Memo::EMPTY,
            to_memo: None,
            metadata: Metadata::EMPTY,
        };
        self.request(self.keyed, command)
    }

    /// The two accounts of a transfer, as the shape has it.
    pub(crate) fn pair(&mut self) -> (AccountId, AccountId) {
        let (from, to) = self.sides();
        self.made += 1;
        self.apart(from, to)
    }

    /// Two places among the accounts, which may be the same.
    fn sides(&mut self) -> (usize, usize) {
        let (from, to) = (self.draw(), self.draw());
        let hot = self.shape == Shape::Hot && self.made.is_multiple_of(10);
        (from, if hot { 0 } else { to })
    }

    /// The accounts at two places, or the next one to the second: nobody pays himself.
    fn apart(&self, from: usize, to: usize) -> (AccountId, AccountId) {
        let to = if to == from { (to + 1) % self.accounts.len() } else { to };
        (self.accounts[from], self.accounts[to])
    }

    fn draw(&mut self) -> usize {
        let count = self.accounts.len() as u64;
        match &self.zipf {
            // The popular ones lie apart, as they would in life, and not in one page of memory.
            Some(zipf) => {
                let rank = zipf.draw(&mut self.random) - 1;
                // A prime, so no two ranks meet in one place.
                (rank * 2_654_435_761 % count) as usize
            }
            None => self.random.below(count) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_read_back_from_its_text() {
        for text in ["uniform", "zipf=0.9", "hot"] {
            assert_eq!(text.parse::<Shape>().unwrap().to_string(), text);
        }
        assert_eq!("zipf".parse(), Ok(Shape::Zipf(1.0)));
        for text in ["", "zipf=", "zipf=0", "zipf=x", "hot=3", "uniform=", "ZIPF"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_of_zipfs_is_drawn_as_often_as_its_law_has_it() {
        for exponent in [0.5, 1.0, 1.3] {
            let (zipf, mut random) = (Zipf::new(1000, exponent), Random(1));
            let mut counts = vec![0u32; 1001];
            (0..1_000_000).for_each(|_| counts[zipf.draw(&mut random) as usize] += 1);
            let whole: f64 = (1..=1000).map(|k| f64::from(k).powf(-exponent)).sum();
            for rank in [1, 2, 10] {
                let expected = 1_000_000.0 * f64::from(rank).powf(-exponent) / whole;
                let found = f64::from(counts[rank as usize]);
                assert!((found - expected).abs() < 4.5 * expected.sqrt(), "{exponent}, {rank}");
            }
        }
    }

    #[test]
    fn a_tenth_of_the_bookings_meets_the_hot_account() {
        let mut workload = Workload::new(7).shaped(Shape::Hot, false, 20, 5);
        workload.take_part((1..=1000u128).map(AccountId::from_bits).collect());
        let (mut hot, mut deposits) = (0, 0);
        for _ in 0..10_000 {
            let command = workload.booking().command;
            deposits += usize::from(matches!(command, Command::Deposit { .. }));
            hot += usize::from(command.accounts().contains(&Some(AccountId::from_bits(1))));
        }
        assert!((900..1200).contains(&hot), "{hot}");
        assert!((1700..2300).contains(&deposits), "{deposits}");
    }

    #[test]
    fn a_tenth_of_the_pairs_meets_the_hot_account() {
        let mut workload = Workload::new(7).shaped(Shape::Hot, true, 0, 1);
        workload.take_part((1..=1000u128).map(AccountId::from_bits).collect());
        let first = AccountId::from_bits(1);
        let pairs: Vec<_> = (0..10_000).map(|_| workload.pair()).collect();
        let hot = pairs.iter().filter(|(from, to)| [from, to].contains(&&first)).count();
        assert!((900..1200).contains(&hot), "{hot}");
        assert!(pairs.iter().all(|(from, to)| from != to));
    }
}
