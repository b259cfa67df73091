//! Sows one fault into a sound sequence of events: a field of an entry, a transaction or another
//! event that says something else, or an event that is missing, doubled or out of its place.

use std::sync::Arc;

use proptest::sample::Index;
use tongjang_core::{
    AccountId, Amount, Balance, Booked, Currency, Direction, EntryNumber, Event, Hash, Kind, Memo,
    Metadata, Status, Timestamp, TransactionId, UserId,
};

/// How many kinds of fault there are.
pub(crate) const KINDS: usize = FIELDS.len() + 7;

type Field = fn(&mut Booked, usize);

/// Each changes one field of a booking, or of one of its two entries.
const FIELDS: [Field; 19] = [
    |booked, side| booked.transaction.entries[side].account = AccountId::from_bits(77),
    |booked, side| {
        let number = &mut booked.transaction.entries[side].number;
        *number = EntryNumber::after(number.get());
    },
    |booked, side| {
        let direction = &mut booked.transaction.entries[side].direction;
        *direction = match direction {
            Direction::Credit => Direction::Debit,
            Direction::Debit => Direction::Credit,
        };
    },
    |booked, side| more(&mut booked.transaction.entries[side].amount),
    |booked, side| one_more(&mut booked.transaction.entries[side].balance),
    |booked, side| booked.transaction.entries[side].memo = Memo::new("x").expect("a memo"),
    |booked, side| {
        let counterparty = &mut booked.transaction.entries[side].counterparty;
        *counterparty = counterparty.xor(Some(AccountId::from_bits(77)));
    },
    |booked, side| booked.transaction.entries[side].credit_count += 1,
    |booked, side| one_more(&mut booked.transaction.entries[side].credit_total),
    |booked, side| {
        let mut bytes = *booked.transaction.entries[side].hash.bytes();
        bytes[31] ^= 1;
        booked.transaction.entries[side].hash = Hash::from_bytes(bytes);
    },
    |booked, _| {
        let id = &mut booked.transaction.id;
        *id = TransactionId::from_bits(id.bits() ^ 1);
    },
    |booked, _| {
        let at = booked.transaction.booked_at;
        booked.transaction.booked_at = at.next();
    },
    // The time in both of its places.
    |booked, _| {
        let at = booked.transaction.booked_at.next();
        booked.transaction.booked_at = at;
        booked.transaction.id = TransactionId::new(at, 0);
    },
    |booked, _| {
        let kind = &mut booked.transaction.kind;
        *kind = if *kind == Kind::Transfer { Kind::Deposit } else { Kind::Transfer };
    },
    |booked, _| more(&mut booked.transaction.amount),
    |booked, _| booked.transaction.currency = Currency::new("EUR").expect("a currency"),
    |booked, _| booked.transaction.memo = Memo::new("x").expect("a memo"),
    // The amount in all of its places.
    |booked, _| {
        more(&mut booked.transaction.amount);
        booked.transaction.entries.iter_mut().for_each(|entry| more(&mut entry.amount));
    },
    |booked, side| drop(booked.transaction.entries.remove(side)),
];

fn more(amount: &mut Amount) {
    let other = if *amount == Amount::MAX { amount.minor() - 1 } else { amount.minor() + 1 };
    *amount = Amount::new(other).expect("an amount");
}

fn one_more(balance: &mut Balance) {
    *balance = Balance::new(balance.minor() + 1);
}

/// Sows a fault of this kind at `place`; false if there is nothing to sow it into.
pub(crate) fn sow(events: &mut Vec<Event>, kind: usize, place: Index) -> bool {
    if let Some(change) = FIELDS.get(kind) {
        let booked = |event: &Event| matches!(event, Event::Booked(_));
        return at(events, place, booked, |event| {
            if let Event::Booked(booked) = event {
                change(booked, place.index(2));
            }
        });
    }
    match kind - FIELDS.len() {
        // A refusal leaves no trace in any balance, so only its key would miss it.
        0 => {
            let traced = events.iter().enumerate();
            let traced = traced.filter(|(_, event)| !matches!(event, Event::Refused(_)));
            let traced: Vec<usize> = traced.map(|(index, _)| index).collect();
            let dropped = (!traced.is_empty()).then(|| traced[place.index(traced.len())]);
            dropped.inspect(|index| drop(events.remove(*index))).is_some()
        }
        1 => {
            let double = (!events.is_empty()).then(|| place.index(events.len()));
            double.inspect(|index| events.insert(*index, events[*index].clone())).is_some()
        }
        2 => {
            let swapped = (events.len() > 1).then(|| place.index(events.len() - 1));
            swapped.inspect(|index| events.swap(*index, index + 1)).is_some()
        }
        3 => at(
            events,
            place,
            |event| matches!(event, Event::Opened(_)),
            |event| {
                if let Event::Opened(opening) = event {
                    Arc::make_mut(&mut opening.account).owner = UserId::from_bits(77);
                }
            },
        ),
        4 => at(
            events,
            place,
            |event| matches!(event, Event::Opened(_)),
            |event| {
                if let Event::Opened(opening) = event {
                    Arc::make_mut(&mut opening.account).opened_at = Timestamp::EPOCH;
                }
            },
        ),
        5 => at(
            events,
            place,
            |event| matches!(event, Event::StatusChanged(_)),
            |event| {
                if let Event::StatusChanged(change) = event {
                    change.account = AccountId::from_bits(77);
                    change.status = Status::Frozen;
                }
            },
        ),
        // Only a key's fingerprint covers the metadata.
        6 => at(
            events,
            place,
            |event| matches!(event, Event::Booked(booked) if booked.key.is_some()),
            |event| {
                if let Event::Booked(booked) = event {
                    let pair = ("sown".into(), "here".into());
                    booked.transaction.metadata = Metadata::new(vec![pair]).expect("metadata");
                }
            },
        ),
        other => panic!("there is no fault {other}"),
    }
}

fn at(
    events: &mut [Event],
    place: Index,
    fits: impl Fn(&Event) -> bool,
    change: impl FnOnce(&mut Event),
) -> bool {
    let mut fitting: Vec<&mut Event> = events.iter_mut().filter(|event| fits(event)).collect();
    if fitting.is_empty() {
        return false;
    }
    let index = place.index(fitting.len());
    change(fitting[index]);
    true
}
