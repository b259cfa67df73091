//! A table's header and cells: which columns there are, and how a text stands in a cell.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, whoever wrote
//! it. So a text that does gets an apostrophe before it on its way out and loses it on its way in;
//! and so that nothing else is lost, one that begins with an apostrophe gets another. An
//! apostrophe alone is a text that is there and empty, where an empty cell is none at all.

use std::borrow::Cow;

use super::fields::Fields;
use crate::extract::{AmountField, BankAndNumber, MetadataField, Target};
use crate::problem::{Problem, Text};

/// The columns of an export, in its order; a table to be imported has any of them in any order.
pub(crate) const COLUMNS: [&str; 23] = [
    "op",
    "account",
    "owner_id",
    "currency",
    "bank",
    "number",
    "from_account",
    "from_bank",
    "from_number",
    "to_account",
    "to_bank",
    "to_number",
    "amount",
    "memo",
    "to_memo",
    "metadata",
    "status",
    "idempotency_key",
    "kind",
    "transaction_id",
    "booked_at",
    "opened_at",
    "changed_at",
];

/// What a spreadsheet may take for the beginning of a formula, the wide forms of East Asia too.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// `text` as a cell.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        None => Cow::Borrowed("'"),
        Some(first) if first == '\'' || FORMULA.contains(&first) => Cow::Owned(format!("'{text}")),
        Some(_) => Cow::Borrowed(text),
    }
}

/// The text of a cell, or `None` if it has none.
pub(crate) fn unguarded(cell: &str) -> Option<&str> {
    match cell.strip_prefix('\'') {
        Some("") => Some(""),
        Some(rest) if rest.starts_with('\'') || rest.starts_with(FORMULA) => Some(rest),
        _ => Some(cell).filter(|cell| !cell.is_empty()),
    }
}

/// The places of the columns, checked before the first row is looked at.
#[derive(Debug)]
pub(crate) struct Header(Vec<&'static str>);

impl Header {
    /// The header that these cells make.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(crate) fn read<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut columns = Vec::new();
        for cell in cells {
            let Some(known) = COLUMNS.into_iter().find(|column| *column == cell) else {
                let known = COLUMNS.join(", ");
                return Err(format!("the column {cell:?} is not known; there are: {known}"));
            };
            if columns.contains(&known) {
                return Err(format!("the column {known} stands in the header twice"));
            }
            columns.push(known);
        }
        let has = |column: &str| columns.contains(&column);
        if !has("op") {
            return Err("the column op is missing; it says what a row is: open, deposit, \
                        withdrawal, transfer or status"
                .to_owned());
        }
        for (bank, number) in
            [("bank", "number"), ("from_bank", "from_number"), ("to_bank", "to_number")]
        {
            // An account that is to be opened has the house's bank if none is named, and a number
            // of our making.
            let half = has(bank) != has(number) && bank != "bank";
            if half {
                let lacking = if has(bank) { number } else { bank };
                return Err(format!("the column {lacking} is missing, which goes with the other"));
            }
        }
        if !(has("amount") || has("currency") || has("status")) {
            return Err("the column amount is missing".to_owned());
        }
        Ok(Self(columns))
    }

    /// The fields of a row.
    ///
    /// # Errors
    /// 400 `invalid-request`, if the row has too many cells or too few, or one of no sense.
    pub(crate) fn fields<'a>(
        &self,
        cells: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Fields, Problem> {
        if cells.len() != self.0.len() {
            let (has, header) = (cells.len(), self.0.len());
            return Err(Problem::invalid(
                "",
                Text::new(
                    format!("has {has} cells where the header has {header}"),
                    format!("칸이 {has}개인데 머리글은 {header}개입니다"),
                ),
            ));
        }
        let mut fields = Fields::default();
        let mut places: [[Option<String>; 2]; 2] = Default::default();
        let [[from_bank, from_number], [to_bank, to_number]] = &mut places;
        for (column, cell) in self.0.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            let text = || unguarded(cell).map(str::to_owned);
            let bare = || Some(cell.to_owned());
            match *column {
                "op" => fields.op = bare(),
                "account" => fields.account = bare().map(Target::Id),
                "owner_id" => fields.owner_id = bare(),
                "currency" => fields.currency = bare(),
                "bank" => fields.bank = text(),
                "number" => fields.number = text(),
                "from_account" => fields.from_account = bare().map(Target::Id),
                "from_bank" => *from_bank = text(),
                "from_number" => *from_number = text(),
                "to_account" => fields.to_account = bare().map(Target::Id),
                "to_bank" => *to_bank = text(),
                "to_number" => *to_number = text(),
                "amount" => fields.amount = Some(AmountField::spelled(cell)),
                "memo" => fields.memo = text(),
                "to_memo" => fields.to_memo = text(),
                "metadata" => fields.metadata = Some(metadata(cell)?),
                "status" => fields.status = bare(),
                "idempotency_key" => fields.idempotency_key = bare(),
                "kind" => fields.kind = bare(),
                "transaction_id" => fields.transaction_id = bare(),
                "booked_at" => fields.booked_at = bare(),
                "opened_at" => fields.opened_at = bare(),
                "changed_at" => fields.changed_at = bare(),
                other => unreachable!("{other} is in COLUMNS and has no place here"),
            }
        }
        let [from, to] = places;
        put(&mut fields.from_account, from, "/from_bank")?;
        put(&mut fields.to_account, to, "/to_bank")?;
        if fields.op.as_deref() != Some("open") {
            let place = [fields.bank.take(), fields.number.take()];
            put(&mut fields.account, place, "/bank")?;
        }
        Ok(fields)
    }
}

/// Has the account named by a bank and number, if these are there.
fn put(
    account: &mut Option<Target>,
    place: [Option<String>; 2],
    pointer: &str,
) -> Result<(), Problem> {
    let wrong = |text| Err(Problem::invalid(pointer, text));
    match (place, &account) {
        ([None, None], _) => Ok(()),
        ([Some(bank), Some(number)], None) => {
            *account = Some(Target::Number(BankAndNumber { bank, number }));
            Ok(())
        }
        ([Some(_), Some(_)], Some(_)) => wrong(Text::fixed(
            "names an account that is also named by its id",
            "id로도 지정한 계좌를 다시 지정합니다",
        )),
        _ => wrong(Text::fixed(
            "and the number go together, and one of them is empty",
            "은행과 번호 중 하나가 비어 있습니다",
        )),
    }
}

fn metadata(cell: &str) -> Result<MetadataField, Problem> {
    serde_json::from_str(cell).map_err(|_| {
        let text = Text::fixed(
            "must be a JSON object of texts, such as {\"order\":\"17\"}",
            "{\"order\":\"17\"} 같은 문자열만의 JSON 객체여야 합니다",
        );
        Problem::invalid("/metadata", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_taken_for_a_formula_and_none_is_lost() {
        for text in
            ["", "월세", "=1+1", "+82", "-5", "@a", "'", "''", "'=1", "'tis", "＝1", "a=b", " =1"]
        {
            let cell = guarded(text);
            assert!(!cell.starts_with(FORMULA), "{cell}");
            assert_eq!(unguarded(&cell), Some(text), "{cell}");
        }
        assert_eq!(unguarded(""), None);
        assert_eq!(unguarded("'tis"), Some("'tis"), "what nobody guarded stays as it is");
    }

    #[test]
    fn a_header_is_checked_before_any_row() {
        let read = |header: &str| Header::read(header.split(',')).map(|_| ());
        assert_eq!(read("op,account,amount"), Ok(()));
        assert_eq!(read(&COLUMNS.join(",")), Ok(()));
        assert_eq!(read("op,currency,number"), Ok(()));
        for (header, said) in [
            ("account,amount", "the column op is missing"),
            ("op,account", "the column amount is missing"),
            ("op,amount,amount", "amount stands in the header twice"),
            ("op,amount,balance", "\"balance\" is not known"),
            ("op,Amount", "\"Amount\" is not known"),
            ("op;amount", "\"op;amount\" is not known"),
            ("op,amount,to_bank", "the column to_number is missing"),
        ] {
            let error = read(header).unwrap_err();
            assert!(error.contains(said), "{header}: {error}");
        }
    }

    #[test]
    fn a_row_must_fit_its_header() {
        let header = Header::read("op,amount,account,bank,number".split(',')).unwrap();
        let fields = |row: &str| header.fields(row.split(',').collect::<Vec<_>>().into_iter());
        let place = Target::Number(BankAndNumber { bank: "088".into(), number: "1".into() });
        assert_eq!(fields("deposit,5,,088,1").unwrap().account, Some(place));
        assert!(fields("open,,,088,1").unwrap().account.is_none());
        for row in ["deposit,5", "deposit,5,,088,1,", "deposit,5,,088,", "deposit,5,acc_1,088,1"] {
            assert!(fields(row).is_err(), "{row}");
        }
    }
}
