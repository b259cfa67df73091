//! Ledgers carried in and out as lines: NDJSON or CSV, a line an opening, a booking or a change of
//! status. `docs/import-export.md` names the fields.
//!
//! In: `same` (a file that must not change) → `intake` (bytes that must be UTF-8) → `rows` (lines)
//! and `table` (rows of `cells`) → `fields` (what they say) → `line` (what is to be done) →
//! `import` (decided and made durable, or only rehearsed; `shared` where servers book too) →
//! `rejects` (what was refused, to be read again). Out: `export` for the whole ledger, `passbook`
//! for one account, both written by `sheet`.
//! `copy` takes a ledger from one kind of store to the other, and `proof` compares both.

pub(crate) mod cells;
pub(crate) mod copy;
pub(crate) mod export;
pub(crate) mod fields;
pub(crate) mod import;
pub(crate) mod intake;
pub(crate) mod line;
pub(crate) mod passbook;
mod proof;
pub(crate) mod rejects;
pub(crate) mod rows;
pub(crate) mod same;
pub(crate) mod shared;
pub(crate) mod sheet;
mod table;
