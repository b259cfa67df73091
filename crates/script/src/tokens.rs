//! Splits a row into words and quoted texts.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    Word(String),
    Text(String),
}

/// The tokens of `row` up to a `#`. A comma ends a word; `"…"` is a text in which `\` takes the
/// next letter as it is, and `"…"*3` that text three times.
pub(crate) fn tokens(row: &str) -> Result<Vec<Token>, String> {
    let mut letters = row.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(&letter) = letters.peek() {
        match letter {
            '#' => break,
            '"' => tokens.push(Token::Text(text(&mut letters)?)),
            _ if letter == ',' || letter.is_whitespace() => drop(letters.next()),
            _ => tokens.push(Token::Word(word(&mut letters))),
        }
    }
    Ok(tokens)
}

fn word(letters: &mut Peekable<Chars<'_>>) -> String {
    let ends = |letter: char| letter == ',' || letter.is_whitespace();
    std::iter::from_fn(|| letters.next_if(|letter| !ends(*letter))).collect()
}

fn text(letters: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    letters.next();
    let mut text = String::new();
    loop {
        match letters.next() {
            Some('"') => break,
            Some('\\') => text.extend(letters.next()),
            Some(letter) => text.push(letter),
            None => return Err("a quotation mark is not closed".into()),
        }
    }
    if letters.next_if_eq(&'*').is_none() {
        return Ok(text);
    }
    let times = word(letters);
    times.parse().map(|times| text.repeat(times)).map_err(|_| format!("{times} is no count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_texts_and_comments_are_told_apart() {
        let word = |text: &str| Token::Word(text.into());
        let row = r#"booked, balance -5 "a \"b\" # c"  ""  "가"*3 # the rest"#;
        let expected = [
            word("booked"),
            word("balance"),
            word("-5"),
            Token::Text("a \"b\" # c".into()),
            Token::Text(String::new()),
            Token::Text("가가가".into()),
        ];
        assert_eq!(tokens(row), Ok(expected.into()));
        assert!(tokens("memo \"open").is_err());
    }
}
