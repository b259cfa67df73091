//! An account as a body or a line names it: by its id, or by its bank and number.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use tongjang_core::{AccountId, AccountNumber, Bank};
use utoipa::ToSchema;

use super::text::{account_number, bank};
use crate::problem::Problem;

/// An account by its id, or by its bank and number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Target {
    /// The account's id.
    Id(String),
    /// The account's bank and number.
    Number(BankAndNumber),
}

/// An account's bank and its number within it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BankAndNumber {
    /// The bank.
    #[schema(max_length = 40, example = "tongjang")]
    pub(crate) bank: String,
    /// The number; hyphens and case do not matter.
    #[schema(max_length = 34, example = "110-733-0641285")]
    pub(crate) number: String,
}

/// What a [`Target`] says, once it is read. Whether there is such an account is another question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AccountName {
    /// An account's id.
    Id(AccountId),
    /// A bank and a number within it.
    Place(Bank, AccountNumber),
    /// A text that is no account's id.
    Nowhere,
}

impl Target {
    /// What it says; it stands at `pointer`.
    ///
    /// # Errors
    /// 400 `invalid-request`, if its bank or number can be none.
    pub(crate) fn read(&self, pointer: &str) -> Result<AccountName, Problem> {
        match self {
            Self::Id(id) => Ok(id.parse().map_or(AccountName::Nowhere, AccountName::Id)),
            Self::Number(place) => {
                let (bank, number) = place.read(pointer)?;
                Ok(AccountName::Place(bank, number))
            }
        }
    }
}

impl BankAndNumber {
    /// The bank and the number that it says; it stands at `pointer`.
    ///
    /// # Errors
    /// 400 `invalid-request`, if one of them can be none.
    pub(crate) fn read(&self, pointer: &str) -> Result<(Bank, AccountNumber), Problem> {
        let bank = bank(&self.bank, &format!("{pointer}/bank"))?;
        Ok((bank, account_number(&self.number, &format!("{pointer}/number"))?))
    }
}

// By hand, since serde's own reading of such an enum can't say what is wrong inside of it.
impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an account id or an object of bank and number")
            }

            fn visit_str<E>(self, id: &str) -> Result<Target, E> {
                Ok(Target::Id(id.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                BankAndNumber::deserialize(MapAccessDeserializer::new(map)).map(Target::Number)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_by_id_or_by_place() {
        let read = |json: &str| serde_json::from_str::<Target>(json).unwrap().read("/to");
        let id = AccountId::from_bits(1 << 70);
        assert_eq!(read(&format!("\"{id}\"")).unwrap(), AccountName::Id(id));
        assert_eq!(read("\"somebody\"").unwrap(), AccountName::Nowhere);
        let place = read(r#"{"bank": " 088 ", "number": "110-1"}"#).unwrap();
        let AccountName::Place(bank, number) = place else { panic!("{place:?}") };
        assert_eq!((bank.as_str(), number.as_str()), ("088", "110-1"));
        let problem = read(r#"{"bank": "088", "number": "-"}"#).unwrap_err();
        assert_eq!(problem.errors()[0].pointer, "/to/number");
    }
}
