//! How many pages of the database a query reads: for measurements, beside what `reader` answers.

use std::cell::Cell;

use deadpool_postgres::Client;

use super::reader::{READ, Values};
use crate::StoreError;

thread_local! {
    /// The pages of all statements so far that this thread waits for, while somebody counts.
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What `ask` answers, and how many pages of 8 KiB its statements read in this thread, from
/// memory or from the disk. Each runs twice: once as it is, and once as EXPLAIN (ANALYZE, BUFFERS).
pub fn counting_pages<T>(ask: impl FnOnce() -> T) -> (T, u64) {
    COUNTED.set(Some(0));
    let answer = ask();
    (answer, COUNTED.take().unwrap_or(0))
}

/// Adds the pages of a statement, if somebody counts.
pub(super) async fn count(
    client: &Client,
    statement: &str,
    values: Values<'_>,
) -> Result<(), StoreError> {
    let Some(so_far) = COUNTED.get() else { return Ok(()) };
    let attempt = |error| StoreError::database(READ, error);
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {statement}");
    let explain = client.prepare_cached(&explain).await.map_err(attempt)?;
    let lines = client.query(&explain, values).await.map_err(attempt)?;
    let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    COUNTED.set(Some(so_far + pages(lines.iter().map(String::as_str))));
    Ok(())
}

/// The pages of a whole plan. Its first line of buffers has those of all nodes below it; what
/// the planner itself read stands behind "Planning" and is not the statement's.
fn pages<'a>(plan: impl Iterator<Item = &'a str>) -> u64 {
    let mut nodes = plan.map(str::trim_start).take_while(|line| !line.starts_with("Planning"));
    let Some(buffers) = nodes.find_map(|line| line.strip_prefix("Buffers: ")) else { return 0 };
    // Of sorting on the disk there is a part of its own, after a comma.
    let shared = buffers.split(',').find_map(|part| part.trim_start().strip_prefix("shared "));
    let figures = shared.unwrap_or_default().split(' ').filter_map(|word| word.split_once('='));
    figures
        .filter(|(what, _)| ["hit", "read"].contains(what))
        .filter_map(|(_, number)| number.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_plan_are_those_of_its_first_node() {
        for (plan, expected) in [
            ("Limit\n  Buffers: shared hit=7 read=2\n  -> Scan\n        Buffers: shared hit=7", 9),
            ("Sort\n  Buffers: shared hit=3 dirtied=1, temp read=5 written=5", 3),
            ("Result\nPlanning:\n  Buffers: shared hit=12\nPlanning Time: 1 ms", 0),
        ] {
            assert_eq!(pages(plan.lines()), expected, "{plan}");
        }
    }
}
