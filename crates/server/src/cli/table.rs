//! Tables for people at a terminal: money to the right, in groups of three digits, and Hangul two
//! columns wide.

use std::fmt;

use tongjang_core::Currency;

/// Where a column's cells stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, a cell a column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        // A name or memo is another's text: it must not move the cursor about.
        let safe = |cell: String| cell.replace(char::is_control, " ");
        self.rows.push(cells.into_iter().map(safe).collect());
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, widths: &[usize], cells: &[&str]) -> fmt::Result {
        let mut line = String::new();
        for (place, cell) in cells.iter().enumerate() {
            let (_, align) = self.columns[place];
            let room = " ".repeat(widths[place].saturating_sub(width(cell)));
            match align {
                Align::Left => line.extend([*cell, room.as_str()]),
                Align::Right => line.extend([room.as_str(), *cell]),
            }
            line.push_str("  ");
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|place| {
                let cells = self.rows.iter().map(|row| width(&row[place]));
                cells.fold(width(header[place]), usize::max)
            })
            .collect();
        self.line(f, &widths, &header)?;
        for row in &self.rows {
            self.line(f, &widths, &row.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// `minor` units with the currency's decimals and its digits in groups of three.
pub(crate) fn amount(minor: i128, currency: Currency) -> String {
    let decimals = usize::from(currency.exponent());
    let digits = format!("{:0>1$}", minor.unsigned_abs(), decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let mut text = String::from(if minor < 0 { "-" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if decimals > 0 {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// How many columns of a terminal a text takes.
fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The ranges that Unicode's annex 11 calls wide, as far as terminals agree on them.
fn columns(letter: char) -> usize {
    match u32::from(letter) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff01..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_its_currencys_decimals() {
        let usd = Currency::new("USD").unwrap();
        let bhd = Currency::new("BHD").unwrap();
        for (minor, currency, expected) in [
            (0, Currency::KRW, "0"),
            (999, Currency::KRW, "999"),
            (1_000, Currency::KRW, "1,000"),
            (-1_234_567, Currency::KRW, "-1,234,567"),
            (5, usd, "0.05"),
            (-5, usd, "-0.05"),
            (123_456, usd, "1,234.56"),
            (100_000, bhd, "100.000"),
            (1 << 96, Currency::KRW, "79,228,162,514,264,337,593,543,950,336"),
        ] {
            assert_eq!(amount(minor, currency), expected);
        }
    }

    #[test]
    fn hangul_takes_two_columns() {
        let mut table = Table::new(&[("name", Align::Left), ("balance", Align::Right)]);
        table.row(vec!["월급통장".into(), "1,000".into()]);
        table.row(vec!["savings\u{1b}[2J".into(), "20".into()]);
        assert_eq!(
            table.to_string(),
            "name         balance\n월급통장       1,000\nsavings [2J       20\n"
        );
    }
}
