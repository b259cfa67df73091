//! An account: what it is from its opening on, and where it stands.

use std::sync::Arc;

use crate::{
    AccountId, AccountNumber, Balance, Bank, Currency, Direction, Entry, EntryNumber, Hash,
    Timestamp, UserId, chain,
};

/// The facts of an account's opening, which never change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The account's id.
    pub id: AccountId,
    /// Who owns it; [`UserId::LEDGER`] owns the settlement accounts.
    pub owner: UserId,
    /// The one currency that it holds.
    pub currency: Currency,
    /// The bank and the number within it; a settlement account has none.
    pub place: Option<(Bank, AccountNumber)>,
    /// When it was opened.
    pub opened_at: Timestamp,
}

impl Opened {
    /// The settlement account `id` of `currency`: the other side of deposits and withdrawals.
    pub fn settlement(id: AccountId, currency: Currency, opened_at: Timestamp) -> Self {
        Self { id, owner: UserId::LEDGER, currency, place: None, opened_at }
    }

    /// Whether this is a settlement account.
    pub fn is_settlement(&self) -> bool {
        self.owner == UserId::LEDGER
    }
}

/// Whether an account may be booked on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Status {
    /// It may.
    #[default]
    Open,
    /// Not until it is opened again.
    Frozen,
    /// Never again.
    Closed,
}

impl Status {
    /// `open`, `frozen` or `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }

    /// The byte on disk.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Frozen => 2,
            Self::Closed => 3,
        }
    }

    /// The status that `byte` stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Open),
            2 => Some(Self::Frozen),
            3 => Some(Self::Closed),
            _ => None,
        }
    }
}

/// Where an account stands after some of its entries: the balance, kept apart from the history.
///
/// This is what a store keeps and brings back; [`Account::at`] checks it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whether it may be booked on.
    pub status: Status,
    /// The sum of all credits.
    pub credit_total: Balance,
    /// The sum of all debits.
    pub debit_total: Balance,
    /// What pending holds have put aside.
    pub held: Balance,
    /// How far below zero it may go.
    pub overdraft_limit: Balance,
    /// How many entries it has.
    pub entry_count: u64,
    /// How many of them are credits.
    pub credit_count: u64,
    /// The hash of the newest entry, or of the opening while there is none.
    pub head_hash: Hash,
    /// When the newest entry was booked, or the account opened.
    pub last_booked_at: Timestamp,
    /// Counts every change, from 1 at the opening.
    pub version: u64,
}

/// An account as the rules see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    opened: Arc<Opened>,
    standing: Standing,
}

impl Account {
    /// The account right after its opening.
    pub fn open(opened: Arc<Opened>) -> Self {
        let standing = Standing {
            status: Status::Open,
            credit_total: Balance::ZERO,
            debit_total: Balance::ZERO,
            held: Balance::ZERO,
            overdraft_limit: Balance::ZERO,
            entry_count: 0,
            credit_count: 0,
            head_hash: chain::genesis(&opened),
            last_booked_at: opened.opened_at,
            version: 1,
        };
        Self { opened, standing }
    }

    /// The account where a store left it, or `None` if its figures contradict each other.
    pub fn at(opened: Arc<Opened>, standing: Standing) -> Option<Self> {
        let Standing { credit_total, debit_total, held, entry_count, credit_count, .. } = standing;
        let balance = credit_total.checked_sub(debit_total);
        let sound = credit_count <= entry_count
            && (credit_total > Balance::ZERO) == (credit_count > 0)
            && (debit_total > Balance::ZERO) == (credit_count < entry_count)
            && credit_total >= Balance::ZERO
            && debit_total >= Balance::ZERO
            && balance.and_then(|balance| balance.checked_sub(held)).is_some()
            && entry_count < standing.version
            && held >= Balance::ZERO
            && standing.overdraft_limit >= Balance::ZERO
            && standing.last_booked_at >= opened.opened_at
            && (entry_count > 0 || standing.head_hash == chain::genesis(&opened));
        sound.then_some(Self { opened, standing })
    }

    /// The account's id.
    pub fn id(&self) -> AccountId {
        self.opened.id
    }

    /// Who owns it.
    pub fn owner(&self) -> UserId {
        self.opened.owner
    }

    /// The currency it holds.
    pub fn currency(&self) -> Currency {
        self.opened.currency
    }

    /// What was said when it was opened.
    pub fn opened(&self) -> &Arc<Opened> {
        &self.opened
    }

    /// All its figures.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it may be booked on.
    pub fn status(&self) -> Status {
        self.standing.status
    }

    /// Credits minus debits.
    pub fn balance(&self) -> Balance {
        self.standing
            .credit_total
            .checked_sub(self.standing.debit_total)
            .expect("both totals were checked when they were made")
    }

    /// What may be withdrawn: balance − held + overdraft limit. Below zero, nothing may.
    pub fn available(&self) -> Balance {
        let free = self.balance().checked_sub(self.standing.held);
        let free = free.expect("a hold is only put on a balance that it fits");
        // A limit on a balance near the end of 128 bits adds nothing that could ever be withdrawn.
        free.checked_add(self.standing.overdraft_limit).unwrap_or(Balance::MAX)
    }

    /// How many entries it has.
    pub fn entry_count(&self) -> u64 {
        self.standing.entry_count
    }

    /// The hash that the next entry is chained to.
    pub fn head_hash(&self) -> Hash {
        self.standing.head_hash
    }

    /// Counts every change, from 1 at the opening.
    pub fn version(&self) -> u64 {
        self.standing.version
    }

    /// Folds in an entry that `decide` made for this account, booked at `booked_at`.
    ///
    /// # Panics
    /// If the entry does not follow the account's newest one: a bug, never a bad input.
    pub(crate) fn fold(&mut self, entry: &Entry, booked_at: Timestamp) {
        let at = &mut self.standing;
        assert_eq!(entry.number, EntryNumber::after(at.entry_count), "entries step by one");
        assert!(booked_at > at.last_booked_at, "time strictly increases along an account");
        let (credits, debits, counted) = match entry.direction {
            Direction::Credit => (at.credit_total.plus(entry.amount), Some(at.debit_total), 1),
            Direction::Debit => (Some(at.credit_total), at.debit_total.plus(entry.amount), 0),
        };
        assert!(
            credits == Some(entry.credit_total)
                && debits == entry.debit_total()
                && at.credit_count.checked_add(counted) == Some(entry.credit_count),
            "totals step by the amount"
        );
        at.entry_count = entry.number.get();
        at.credit_count = entry.credit_count;
        at.credit_total = entry.credit_total;
        at.debit_total = debits.expect("decide checked the totals");
        at.head_hash = entry.hash;
        at.last_booked_at = booked_at;
        self.touch();
    }

    pub(crate) fn set_status(&mut self, status: Status) {
        self.standing.status = status;
        self.touch();
    }

    fn touch(&mut self) {
        let next = self.standing.version.checked_add(1);
        self.standing.version = next.expect("no account changes 2^64 times");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{ALICE, TestLedger, withdraw};

    #[test]
    fn a_standing_that_no_entries_lead_to_is_not_taken() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        ledger.ok(ALICE, withdraw(a, 300));
        let sound = ledger.account(a);
        let taken = |change: &dyn Fn(&mut Standing)| {
            let mut standing = sound.standing().clone();
            change(&mut standing);
            Account::at(sound.opened().clone(), standing).is_some()
        };
        assert!(taken(&|_| {}));
        assert!(!taken(&|at| at.credit_count = 3));
        assert!(!taken(&|at| at.credit_count = 2), "then nothing was debited");
        assert!(!taken(&|at| at.credit_count = 0), "then nothing was credited");
        assert!(!taken(&|at| at.credit_total = Balance::ZERO));
        assert!(!taken(&|at| at.debit_total = Balance::new(-300)));
        assert!(!taken(&|at| at.version = 2), "two entries and an opening make three");
        assert!(!taken(&|at| at.held = Balance::new(-1)));
        assert!(!taken(&|at| at.overdraft_limit = Balance::new(-1)));
        assert!(!taken(&|at| at.last_booked_at = Timestamp::EPOCH));

        let new = ledger.account(b);
        let standing = Standing { head_hash: Hash::default(), ..new.standing().clone() };
        assert_eq!(Account::at(new.opened().clone(), standing), None);
    }
}
