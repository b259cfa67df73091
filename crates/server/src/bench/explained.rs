//! A table that is read without a manual: every column is explained under it.

use std::fmt;

use crate::cli::table::{Align, Table};

/// A table and its legend.
#[derive(Debug)]
pub(crate) struct Explained {
    table: Table,
    legend: Vec<(&'static str, &'static str)>,
}

/// How long a line of the legend is at most.
const WIDE: usize = 98;

impl Explained {
    /// The columns in order: the name, where its cells stand, and what they are.
    pub(crate) fn new(columns: &[(&'static str, Align, &'static str)]) -> Self {
        let names: Vec<_> = columns.iter().map(|(name, align, _)| (*name, *align)).collect();
        let legend = columns.iter().map(|(name, _, what)| (*name, *what)).collect();
        Self { table: Table::new(&names), legend }
    }

    /// Adds a row, a cell a column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.table.row(cells);
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or(0);
        let room = widest(&mut self.legend.iter().map(|(name, _)| name.chars().count()));
        writeln!(f, "{}", self.table)?;
        for (name, what) in &self.legend {
            let gap = " ".repeat(room - name.chars().count());
            let mut line = format!("  {name}{gap} ");
            for word in what.split_whitespace() {
                if line.chars().count() + 1 + word.chars().count() > WIDE {
                    writeln!(f, "{line}")?;
                    line = " ".repeat(room + 3);
                }
                line.push(' ');
                line.push_str(word);
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_explained_under_the_table() {
        let mut table = Explained::new(&[
            ("accounts", Align::Right, "how many there are"),
            (
                "µs",
                Align::Right,
                "so long that it takes a second line: one word follows the other \
                until there is no more room",
            ),
        ]);
        table.row(vec!["10,000".into(), "4.20".into()]);
        assert_eq!(
            table.to_string(),
            "accounts    µs\n  10,000  4.20\n\n  \
             accounts  how many there are\n  \
             µs        so long that it takes a second line: one word follows the other until there \
             is no more\n            room\n"
        );
    }
}
