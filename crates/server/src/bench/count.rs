//! How many: the numbers of accounts and transactions on the command line.

/// `250`, `20k` or `100M`.
///
/// # Errors
/// What is wrong with the text, for whoever typed it.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K', 'm', 'M']) {
        Some(digits) if text.ends_with(['k', 'K']) => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse::<usize>().ok().filter(|_| plain);
    count
        .and_then(|digits| digits.checked_mul(factor))
        .ok_or_else(|| format!("{text:?} is no number such as 250, 20k or 100M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_told_in_thousands_and_millions() {
        for (text, expected) in
            [("0", 0), ("250", 250), ("20k", 20_000), ("20K", 20_000), ("100M", 100_000_000)]
        {
            assert_eq!(count(text), Ok(expected));
        }
        for text in ["", "k", "1.5M", "10G", "-1", "+1", "1 000", "99999999999999999999"] {
            assert!(count(text).is_err(), "{text}");
        }
    }
}
