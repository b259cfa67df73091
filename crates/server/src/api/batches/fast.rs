//! The usual lines, read in one pass without a tree and without a second look. Whatever is unusual,
//! or wrong, is left to [`command`](super::command), so that there is one place that says what is
//! wrong.

use tongjang_core::{AccountId, Amount, IdempotencyKey, Memo, Metadata};

use super::command::{Movement, Order, To, Transfer, What};
use crate::extract::memo;

/// The order that `line` says, if it is a deposit, a withdrawal or a transfer to an id, without
/// metadata and without anything that JSON escapes. What is read here, `command::read` reads as
/// the same order.
pub(super) fn read(line: &[u8]) -> Option<Order> {
    let mut scanner = Scanner { rest: line };
    let mut fields = Fields::default();
    scanner.token(b'{')?;
    loop {
        let name = scanner.text()?;
        scanner.token(b':')?;
        match name {
            b"op" => set(&mut fields.op, scanner.text()?)?,
            b"account" => set(&mut fields.account, scanner.id()?)?,
            b"from_account" => set(&mut fields.from, scanner.id()?)?,
            b"to_account" => set(&mut fields.to, scanner.id()?)?,
            b"amount" => set(&mut fields.amount, scanner.amount()?)?,
            b"memo" => set(&mut fields.memo, scanner.memo()?)?,
            b"to_memo" => set(&mut fields.to_memo, scanner.memo()?)?,
            b"idempotency_key" => set(&mut fields.key, scanner.key()?)?,
            _ => return None,
        }
        match scanner.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    scanner.space();
    if scanner.rest.is_empty() { fields.order() } else { None }
}

#[derive(Default)]
struct Fields<'a> {
    op: Option<&'a [u8]>,
    account: Option<AccountId>,
    from: Option<AccountId>,
    to: Option<AccountId>,
    amount: Option<Amount>,
    memo: Option<Memo>,
    to_memo: Option<Memo>,
    key: Option<IdempotencyKey>,
}

impl Fields<'_> {
    fn order(self) -> Option<Order> {
        let Self { op, account, from, to, amount, memo, to_memo, key } = self;
        let (amount, memo, metadata) = (amount?, memo.unwrap_or_default(), Metadata::EMPTY);
        let what = match (op?, account, from, to) {
            (b"transfer", None, Some(from), Some(to)) => {
                let to = To::Id(to);
                What::Transfer(Transfer { from, to, amount, memo, to_memo, metadata })
            }
            (b"deposit", Some(account), None, None) if to_memo.is_none() => {
                What::Deposit(Movement { account, amount, memo, metadata })
            }
            (b"withdrawal", Some(account), None, None) if to_memo.is_none() => {
                What::Withdrawal(Movement { account, amount, memo, metadata })
            }
            _ => return None,
        };
        Some(Order { what, key })
    }
}

/// Sets a field that is not set yet.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    match field.replace(value) {
        None => Some(()),
        Some(_) => None,
    }
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.space();
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn token(&mut self, token: u8) -> Option<()> {
        (self.next()? == token).then_some(())
    }

    /// The bytes of a text that has nothing escaped.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.token(b'"')?;
        let end = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
        let (text, rest) = self.rest.split_at(end);
        let (closing, rest) = rest.split_first()?;
        self.rest = rest;
        (*closing == b'"').then_some(text)
    }

    fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text()?).ok()
    }

    fn id(&mut self) -> Option<AccountId> {
        self.str()?.parse().ok()
    }

    fn key(&mut self) -> Option<IdempotencyKey> {
        IdempotencyKey::new(self.str()?)
    }

    fn memo(&mut self) -> Option<Memo> {
        memo(Some(self.str()?), "/memo").ok()
    }

    /// An amount of at most 18 digits.
    fn amount(&mut self) -> Option<Amount> {
        self.space();
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        if !(1..=18).contains(&length) || digits.starts_with(b"0") {
            return None;
        }
        // A fraction or an exponent is no end of a number.
        if !matches!(rest.first()?, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r') {
            return None;
        }
        self.rest = rest;
        let minor = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        Amount::new(minor.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::batches::command;

    const IDS: [&str; 4] = [
        "acc_01j9w3k0v8e2t6m5qzr7xh4ndp",
        "acc_7zzzzzzzzzzzzzzzzzzzzzzzzz",
        "acc_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "acc_",
    ];

    #[test]
    fn a_usual_line_is_read_here() {
        let line = format!(
            r#"{{"op":"transfer","from_account":"{}","to_account":"{}","amount":25000,
                "memo":"점심","to_memo":"a","idempotency_key":"k-1"}}"#,
            IDS[0], IDS[1]
        );
        let order = read(line.as_bytes()).expect("it is usual");
        assert_eq!(Ok(order), command::read(line.as_bytes()));
        for op in ["deposit", "withdrawal"] {
            let line = format!(r#" {{ "amount" : 1 , "op":"{op}","account":"{}"}} "#, IDS[0]);
            let order = read(line.as_bytes()).expect("it is usual");
            assert_eq!(Ok(order), command::read(line.as_bytes()));
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => prop::sample::select(&IDS).prop_map(|id| format!("\"{id}\"")),
            2 => prop::sample::select(&["open", "deposit", "withdrawal", "transfer", "x"])
                .prop_map(|op| format!("\"{op}\"")),
            4 => (0..1_000_000_000_000_000_000_000u128).prop_map(|n| n.to_string()),
            2 => (0..30u64).prop_map(|n| n.to_string()),
            1 => prop::sample::select(&["1.5", "1e3", "01", "-1", "0", "null", "true", "{}", "1 2"])
                .prop_map(str::to_owned),
            2 => "\"[a-z\"\\\\ 가\u{1112}\u{1161}\t]{0,12}\"",
        ]
    }

    fn name() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&[
            "op",
            "account",
            "from_account",
            "to_account",
            "amount",
            "memo",
            "to_memo",
            "idempotency_key",
            "metadata",
            "x",
        ])
    }

    /// A line that is mostly sound, with a few members put in, left out or spoilt.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let sound = prop::sample::select(&["deposit", "withdrawal", "transfer"]).prop_map(|op| {
            let mut members = vec![("op", format!("\"{op}\"")), ("amount", "12".to_owned())];
            let accounts: &[&str] =
                if op == "transfer" { &["from_account", "to_account"] } else { &["account"] };
            members.extend(accounts.iter().map(|name| (*name, format!("\"{}\"", IDS[0]))));
            members
        });
        let others = prop::collection::vec((name(), value()), 0..4);
        let spaces = prop::collection::vec(prop::sample::select(&["", "", " ", "\t", "\r\n"]), 9);
        let spoilt = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
        (sound, others, any::<prop::sample::Index>(), spaces, spoilt).prop_map(
            |(mut members, others, at, spaces, spoilt)| {
                for other in others {
                    let place = at.index(members.len() + 1);
                    members.insert(place, other);
                }
                let mut spaces = spaces.into_iter().cycle();
                let mut space = move || spaces.next().expect("a cycle");
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| {
                        let (a, b, c, d) = (space(), space(), space(), space());
                        format!("{a}\"{name}\"{b}:{c}{value}{d}")
                    })
                    .collect();
                let mut line = format!("{{{}}}", members.join(",")).into_bytes();
                if let Some((at, byte)) = spoilt {
                    let at = at.index(line.len());
                    line[at] = byte;
                }
                line
            },
        )
    }

    /// A sound line of the usual kind: it may have memos and a key, in any order.
    fn usual() -> impl Strategy<Value = String> {
        let op = prop::sample::select(&["deposit", "withdrawal", "transfer"]);
        let text = || prop::option::of("[a-zA-Z0-9 가-힣.,]{1,20}");
        let key = prop::option::of("[!#-\\[\\]-~]{1,30}");
        (op, 1..1_000_000_000_000u64, text(), text(), key).prop_perturb(
            |(op, amount, memo, to_memo, key), mut random| {
                let mut members = vec![("op", format!("\"{op}\"")), ("amount", amount.to_string())];
                let names: &[_] = match op {
                    "transfer" => &["from_account", "to_account"],
                    _ => &["account"],
                };
                members.extend(names.iter().map(|name| (*name, format!("\"{}\"", IDS[1]))));
                let to_memo = to_memo.filter(|_| op == "transfer");
                for (name, text) in [("memo", memo), ("to_memo", to_memo), ("idempotency_key", key)]
                {
                    members.extend(text.map(|text| (name, format!("\"{text}\""))));
                }
                for end in (1..members.len()).rev() {
                    members.swap(end, random.random_range(0..=end));
                }
                let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_usual_line_with_memos_and_a_key_is_read_here_too(line in usual()) {
            let order = read(line.as_bytes());
            prop_assert!(order.is_some(), "{}", line);
            prop_assert_eq!(order.map(Ok), Some(command::read(line.as_bytes())), "{}", line);
        }

        #[test]
        fn what_is_read_here_is_read_there_as_the_same(line in line()) {
            if let Some(order) = read(&line) {
                let shown = String::from_utf8_lossy(&line).into_owned();
                prop_assert_eq!(Ok(order), command::read(&line), "{}", shown);
            }
        }
    }
}
