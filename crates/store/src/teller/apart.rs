//! A batch taken apart where the ledger is distributed: what is booked by one commit keeps to one
//! part, or to the same few, and what touches the same part stays in its order.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use tongjang_core::Request;

use super::window::Slip;
use super::{BundleReply, Tell};
use crate::{SharedStore, StoreError};

/// The parts that something touches.
type Touched = BTreeSet<i16>;

/// What `batch` is to be booked as: one commit each, in this order.
pub(super) fn apart<S: SharedStore>(store: &mut S, batch: Vec<Slip>) -> Vec<Vec<Slip>> {
    let requests: Vec<&Request> = batch.iter().flat_map(Slip::requests).collect();
    // A store that cannot be reached fails at the batch itself, and is tried again there.
    let Ok(Some(touched)) = store.touched(&requests) else { return vec![batch] };
    let mut touched = touched.into_iter();
    let mut pieces = Vec::new();
    for slip in batch {
        let count = slip.requests().len();
        let each: Vec<Touched> = touched.by_ref().take(count).collect();
        match slip {
            Slip::Bundle(requests, reply) => {
                let requests = requests.into_iter().enumerate();
                pieces.extend(split(each.into_iter().zip(requests).collect(), reply));
            }
            whole => pieces.push((each.into_iter().flatten().collect(), whole)),
        }
    }
    groups(pieces).into_iter().map(|(_, slips)| slips).collect()
}

/// Puts together what touches the same parts. Where two of another kind have a part in common,
/// their order stays.
fn groups<T>(things: Vec<(Touched, T)>) -> Vec<(Touched, Vec<T>)> {
    let mut groups: Vec<(Touched, Vec<T>)> = Vec::new();
    // Those that may still grow: no two of them have a part in common.
    let mut open: Vec<usize> = Vec::new();
    for (touched, thing) in things {
        match open.iter().find(|at| groups[**at].0 == touched) {
            Some(at) => groups[*at].1.push(thing),
            None => {
                open.retain(|at| groups[*at].0.is_disjoint(&touched));
                open.push(groups.len());
                groups.push((touched, vec![thing]));
            }
        }
    }
    groups
}

/// A bundle in pieces, of which the last to be booked has the whole answered.
fn split(requests: Vec<(Touched, (usize, Request))>, reply: BundleReply) -> Vec<(Touched, Slip)> {
    let count = requests.len();
    let groups = groups(requests);
    if groups.len() < 2 {
        let whole = groups.into_iter().map(|(touched, requests)| {
            let requests = requests.into_iter().map(|(_, request)| request).collect();
            (touched, requests)
        });
        let (touched, requests) = whole.last().unwrap_or_default();
        return vec![(touched, Slip::Bundle(requests, reply))];
    }
    let (pieces, of) = (groups.len(), count);
    let piece: Box<dyn Fn(Vec<usize>) -> BundleReply> = match reply {
        BundleReply::Whole(tell) => {
            let answers = Answers::new(pieces, of, tell);
            Box::new(move |places| BundleReply::Whole(Answers::piece(&answers, places)))
        }
        BundleReply::Brief(tell) => {
            let answers = Answers::new(pieces, of, tell);
            Box::new(move |places| BundleReply::Brief(Answers::piece(&answers, places)))
        }
    };
    let slips = groups.into_iter().map(|(touched, requests)| {
        let (places, requests) = requests.into_iter().unzip();
        (touched, Slip::Bundle(requests, piece(places)))
    });
    slips.collect()
}

/// The answers to a bundle that was taken apart, as far as they have come.
struct Answers<T> {
    pieces_left: usize,
    answers: Vec<Option<Result<T, StoreError>>>,
    tell: Option<Tell<T>>,
}

impl<T: Send + 'static> Answers<T> {
    fn new(pieces: usize, count: usize, tell: Tell<T>) -> Arc<Mutex<Self>> {
        let answers = (0..count).map(|_| None).collect();
        Arc::new(Mutex::new(Self { pieces_left: pieces, answers, tell: Some(tell) }))
    }

    /// Told of a piece, whose requests have these `places` in the bundle.
    fn piece(all: &Arc<Mutex<Self>>, places: Vec<usize>) -> Tell<T> {
        let all = all.clone();
        Box::new(move |came| {
            let mut these = all.lock();
            for (place, answer) in places.into_iter().zip(came) {
                these.answers[place] = Some(answer);
            }
            these.pieces_left -= 1;
            if these.pieces_left > 0 {
                return;
            }
            let answers = mem::take(&mut these.answers);
            let tell = these.tell.take();
            drop(these);
            let answers = answers.into_iter().map(|answer| answer.expect("of every piece"));
            tell.expect("the last piece comes once")(answers.collect());
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(things: &[&[i16]]) -> Vec<Vec<usize>> {
        let things = things.iter().enumerate();
        let things = things.map(|(nth, parts)| (parts.iter().copied().collect(), nth)).collect();
        groups(things).into_iter().map(|(_, group)| group).collect()
    }

    #[test]
    fn what_touches_one_part_goes_together() {
        let groups = grouped(&[&[1], &[2], &[1], &[3], &[2], &[1]]);
        assert_eq!(groups, [vec![0, 2, 5], vec![1, 4], vec![3]]);
        assert_eq!(grouped(&[]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn what_touches_several_keeps_its_place_among_them() {
        // The third comes after both before it, and the last two after the third.
        let groups = grouped(&[&[1], &[2], &[1, 2], &[3], &[1, 2], &[1], &[3], &[2]]);
        assert_eq!(groups, [vec![0], vec![1], vec![2, 4], vec![3, 6], vec![5], vec![7]]);
    }

    #[test]
    fn a_bundle_in_pieces_is_answered_once_in_its_order() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = {
            let told = told.clone();
            Box::new(move |answers: Vec<Result<u8, StoreError>>| {
                told.lock().push(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>());
            })
        };
        let answers = Answers::new(2, 3, tell);
        let (first, second) =
            (Answers::piece(&answers, vec![0, 2]), Answers::piece(&answers, vec![1]));
        second(vec![Ok(11)]);
        assert!(told.lock().is_empty(), "a piece is missing");
        first(vec![Ok(10), Ok(12)]);
        assert_eq!(*told.lock(), [vec![10, 11, 12]]);
    }
}
