//! Whether two ledgers are one and the same: every account of both is read and compared.

use sha2::{Digest, Sha256};
use tongjang_core::{Account, AccountId};
use tongjang_store::{Order, Reader, StoreError};

use super::same::hexadecimal;

/// So many accounts are read at once.
const PAGE: usize = 1_000;

/// What a comparison without a difference has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Proof {
    /// How many accounts are equal.
    pub(crate) accounts: u64,
    /// How many entries they have.
    pub(crate) entries: u64,
    /// SHA-256 over all accounts in the order of their ids: of each its id, the number of its
    /// entries, its balance and the hash of its newest entry.
    pub(crate) hash: String,
}

/// Why two ledgers are not the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Differs {
    /// One of them cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This account is another on the other side.
    #[error("account {0} is not the same on both sides: its {1} differs")]
    Account(AccountId, &'static str),
    /// This account is on one side only.
    #[error("account {0} is on one side only")]
    Missing(AccountId),
}

/// Compares every account of `source` with that of `copy`, and looks whether there are others.
///
/// # Errors
/// The first that differs, or what could not be read.
pub(crate) fn proof(source: &impl Reader, copy: &impl Reader) -> Result<Proof, Differs> {
    let (mut digests, mut entries) = (Vec::new(), 0);
    each_page(source, |page| {
        let ids: Vec<AccountId> = page.iter().map(Account::id).collect();
        for (account, other) in page.iter().zip(copy.accounts_by_id(&ids)?) {
            let id = account.id();
            let Some(other) = other else { return Err(Differs::Missing(id)) };
            if let Some(what) = difference(account, &other) {
                return Err(Differs::Account(id, what));
            }
            // Those of parts without a booking may be on one side alone.
            if !is_idle_settlement(account) {
                entries += account.entry_count();
                digests.push((id, digest(account)));
            }
        }
        Ok(())
    })?;
    each_page(copy, |page| {
        let ids: Vec<AccountId> = page.iter().map(Account::id).collect();
        let others = source.accounts_by_id(&ids)?;
        let mut odd = page
            .iter()
            .zip(others)
            .filter(|(account, other)| other.is_none() && !is_idle_settlement(account));
        odd.next().map_or(Ok(()), |(account, _)| Err(Differs::Missing(account.id())))
    })?;
    digests.sort_unstable();
    let mut sha = Sha256::new();
    digests.iter().for_each(|(_, digest)| sha.update(digest));
    Ok(Proof { accounts: digests.len() as u64, entries, hash: hexadecimal(sha) })
}

fn is_idle_settlement(account: &Account) -> bool {
    account.opened().is_settlement() && account.entry_count() == 0
}

fn each_page(
    reader: &impl Reader,
    mut page: impl FnMut(&[Account]) -> Result<(), Differs>,
) -> Result<(), Differs> {
    let mut after = None;
    loop {
        let accounts = reader.accounts(None, Order::Asc, after, PAGE)?;
        let Some(last) = accounts.last() else { return Ok(()) };
        after = Some(last.id());
        page(&accounts)?;
    }
}

/// The first thing in which the accounts differ.
fn difference(one: &Account, other: &Account) -> Option<&'static str> {
    let (a, b) = (one.standing(), other.standing());
    let differences = [
        (a.entry_count != b.entry_count, "number of entries"),
        (one.balance() != other.balance(), "balance"),
        (a.head_hash != b.head_hash, "newest hash"),
        (a.status != b.status, "status"),
        (one.opened() != other.opened(), "opening"),
        (a != b, "version, or another of its figures,"),
    ];
    differences.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
}

fn digest(account: &Account) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(account.id().bits().to_be_bytes());
    sha.update(account.entry_count().to_be_bytes());
    sha.update(account.balance().minor().to_be_bytes());
    sha.update(account.head_hash().bytes());
    sha.finalize().into()
}

/// The ids of the settlement accounts of a ledger.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn settlements(
    reader: &impl Reader,
) -> Result<std::collections::HashSet<AccountId>, StoreError> {
    let mut found = std::collections::HashSet::new();
    let mut after = None;
    loop {
        let accounts = reader.accounts(None, Order::Asc, after, PAGE)?;
        let Some(last) = accounts.last() else { return Ok(found) };
        after = Some(last.id());
        let settlements = accounts.iter().filter(|account| account.opened().is_settlement());
        found.extend(settlements.map(Account::id));
    }
}
