//! Checks any sequence of events against any balances.
