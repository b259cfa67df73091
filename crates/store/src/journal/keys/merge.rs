//! Of many runs few: which are merged, and the merge itself, in bounded memory.
//!
//! Runs are neighbours in the journal. Four of one size become one of the next, so a key is
//! written again once for every fourfold growth, and at most three runs of a size are asked.

use std::ops::Range;
use std::sync::Arc;

use super::entry::Entry;
use super::run::{Run, RunEntries};
use super::run_writer::{Halt, Pace, RunWriter};
use super::shelf::Shelf;

const FAN_IN: usize = 4;

/// Which of the runs, the oldest first and so many keys each, are to become one now, if any.
/// `window` is how many keys the smallest have.
pub(super) fn due(counts: &[u64], window: u64) -> Option<Range<usize>> {
    let size = |count: u64| (count / window.max(1)).max(1).ilog(FAN_IN as u64);
    let (mut end, mut tier) = (counts.len(), 0);
    let mut start = end;
    // From the newest on. A small one that is older than a large one counts as that.
    while start > 0 {
        let this = size(counts[start - 1]).max(tier);
        if this > tier {
            if end - start >= FAN_IN {
                break;
            }
            (end, tier) = (start, this);
        }
        start -= 1;
    }
    (end - start >= FAN_IN).then_some(start..end)
}

/// Merges neighbours, the oldest first, into run `number`.
pub(super) fn merge(
    shelf: &Shelf,
    number: u64,
    runs: &[Arc<Run>],
    pace: Pace<'_>,
) -> Result<Run, Halt> {
    let (first, last) = (runs.first(), runs.last());
    let range = first.zip(last).map(|(first, last)| (first.header().from, last.header().until));
    let count = runs.iter().map(|run| run.header().count).sum();
    let range = range.expect("there are runs to merge");
    let mut writer = RunWriter::begin(shelf, number, range, count, pace)?;
    let mut heads = Vec::with_capacity(runs.len());
    for run in runs {
        heads.extend(Head::begin(run.read())?);
    }
    while let Some((nth, smallest)) =
        heads.iter_mut().enumerate().min_by_key(|(_, head)| head.entry)
    {
        writer.push(smallest.entry)?;
        if !smallest.step()? {
            heads.swap_remove(nth);
        }
    }
    writer.finish()
}

/// A run that is being read, and the entry that it has come to.
struct Head {
    entry: Entry,
    rest: RunEntries,
}

impl Head {
    fn begin(mut rest: RunEntries) -> Result<Option<Self>, Halt> {
        let first = rest.next()?;
        Ok(first.map(|entry| Self { entry, rest }))
    }

    fn step(&mut self) -> Result<bool, Halt> {
        let next = self.rest.next()?;
        self.entry = next.unwrap_or(self.entry);
        Ok(next.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_few_however_many_windows_there_were() {
        let (mut counts, mut most_so_far): (Vec<u64>, usize) = (Vec::new(), 0);
        for windows in 1..=1000u64 {
            counts.push(10 + windows % 3);
            while let Some(range) = due(&counts, 10) {
                let sum = counts[range.clone()].iter().sum();
                counts.splice(range, [sum]);
            }
            let most = 3 * (1 + windows.ilog(4) as usize);
            assert!(counts.len() <= most, "{windows} windows make {counts:?}");
            most_so_far = most_so_far.max(counts.len());
            // A hundred million keys in windows of two and a half.
            assert!(windows != 40 || most_so_far == 7, "{most_so_far} runs");
        }
    }

    #[test]
    fn a_window_that_grew_large_hides_no_smaller_ones() {
        assert_eq!(due(&[10, 10, 10], 10), None);
        assert_eq!(due(&[10, 10, 10, 10], 10), Some(0..4));
        assert_eq!(due(&[10, 10, 170, 10, 10], 10), None);
        assert_eq!(due(&[10, 10, 170, 200], 10), Some(0..4));
        assert_eq!(due(&[170, 10, 10, 10, 10, 10], 10), Some(1..6));
        assert_eq!(due(&[1, 1, 1, 1], 10), Some(0..4));
    }
}
