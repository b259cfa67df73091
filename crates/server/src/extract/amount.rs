//! An amount as it stands in a body: a JSON integer that is read digit by digit, never a float.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tongjang_core::Amount;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Code, Problem, Text};

/// A field that should hold an amount. Any JSON value is read without an error, and
/// [`required`](Self::required) then says whether it is one; so a wrong amount gets its own code.
///
/// Give the field `#[serde(default)]`, so that a missing one is told apart by us and not by serde.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AmountField(Option<Result<Amount, NotAnAmount>>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NotAnAmount {
    Fraction,
    Exponent,
    Text,
    OtherType,
    Zero,
    Negative,
    TooLarge,
}

impl AmountField {
    /// The amount.
    ///
    /// # Errors
    /// 400 `invalid-amount` at `pointer`, if there is none or it is no amount.
    pub fn required(self, pointer: &str) -> Result<Amount, Problem> {
        let detail = match self.0 {
            Some(Ok(amount)) => return Ok(amount),
            Some(Err(fault)) => fault.text(),
            None => Text::fixed("is missing", "금액이 없습니다"),
        };
        Err(Problem::new(Code::InvalidAmount).error(pointer, detail))
    }

    /// A field that holds what `text` spells, by the same rules.
    pub(crate) fn spelled(text: &str) -> Self {
        Self(Some(read(text)))
    }

    /// The amount that `text` spells as a query parameter, by the same rules.
    ///
    /// # Errors
    /// 400 `invalid-amount` at `pointer`.
    pub fn from_parameter(text: &str, pointer: &str) -> Result<Amount, Problem> {
        Self::spelled(text).required(pointer)
    }
}

impl NotAnAmount {
    fn text(self) -> Text {
        match self {
            Self::Fraction => Text::fixed(
                "must be a whole number of the minor unit, without a decimal point",
                "소수점 없는 최소 단위의 정수여야 합니다",
            ),
            Self::Exponent => Text::fixed(
                "must be written out in digits, without an exponent",
                "지수 표기 없이 숫자로만 써야 합니다",
            ),
            Self::Text => Text::fixed(
                "must be a number, not a text: write it without quotes",
                "문자열이 아니라 숫자여야 합니다. 따옴표 없이 쓰세요",
            ),
            Self::OtherType => Text::fixed("must be a number", "숫자여야 합니다"),
            Self::Zero => Text::fixed("must be at least 1", "1 이상이어야 합니다"),
            Self::Negative => Text::fixed(
                "must not be negative; the call itself says which way the money goes",
                "음수일 수 없습니다. 입금과 출금은 호출로 구별합니다",
            ),
            Self::TooLarge => Text::fixed(
                "must be at most 2^96 (79228162514264337593543950336)",
                "2^96(79228162514264337593543950336) 이하여야 합니다",
            ),
        }
    }
}

/// Reads what must be a JSON integer; its syntax as JSON may be taken as checked or not.
fn read(json: &str) -> Result<Amount, NotAnAmount> {
    let unsigned = json.strip_prefix('-').unwrap_or(json);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(if json.starts_with('"') { NotAnAmount::Text } else { NotAnAmount::OtherType });
    }
    if !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        // In `1.5e3` the point stands first, so that is what is told.
        return Err(match unsigned.bytes().find(|byte| !byte.is_ascii_digit()) {
            Some(b'.') => NotAnAmount::Fraction,
            Some(b'e' | b'E') => NotAnAmount::Exponent,
            _ => NotAnAmount::OtherType,
        });
    }
    if unsigned.bytes().all(|digit| digit == b'0') {
        return Err(if unsigned.len() == 1 { NotAnAmount::Zero } else { NotAnAmount::OtherType });
    }
    if unsigned.starts_with('0') {
        return Err(NotAnAmount::OtherType);
    }
    if json.starts_with('-') {
        return Err(NotAnAmount::Negative);
    }
    json.parse().ok().and_then(Amount::new).ok_or(NotAnAmount::TooLarge)
}

impl<'de> Deserialize<'de> for AmountField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(Some(read(raw.get()))))
    }
}

impl PartialSchema for AmountField {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Integer))
            .description(Some(
                "A whole number of the currency's minor unit (KRW: 1 = 1원, USD: 1 = 1 cent), \
                 from 1 to 2^96 = 79228162514264337593543950336. No fraction, no exponent, no \
                 text.",
            ))
            .format(Some(SchemaFormat::Custom("int128".into())))
            .minimum(Some(1))
            // The document's builder takes no larger integer; this is 2^96 to the last bit.
            .maximum(Some(79_228_162_514_264_337_593_543_950_336.0))
            .examples([serde_json::json!(10_000)])
            .into()
    }
}

impl ToSchema for AmountField {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Amount")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        amount: AmountField,
    }

    fn given(amount: &str) -> Result<i128, Problem> {
        let json = format!("{{\"amount\": {amount} }}");
        let body: Body = serde_json::from_slice(json.as_bytes()).unwrap();
        body.amount.required("/amount").map(Amount::minor)
    }

    #[test]
    fn a_whole_positive_number_is_an_amount() {
        assert_eq!(given("1"), Ok(1));
        assert_eq!(given("9007199254740993"), Ok(9_007_199_254_740_993), "beyond a float");
        assert_eq!(given("79228162514264337593543950336"), Ok(1 << 96));
    }

    #[test]
    fn anything_else_is_refused_and_told_why() {
        for (amount, fault) in [
            ("1.5", NotAnAmount::Fraction),
            ("1.0", NotAnAmount::Fraction),
            ("-1.5", NotAnAmount::Fraction),
            ("1.5e3", NotAnAmount::Fraction),
            ("1e3", NotAnAmount::Exponent),
            ("1E3", NotAnAmount::Exponent),
            ("\"100\"", NotAnAmount::Text),
            ("true", NotAnAmount::OtherType),
            ("null", NotAnAmount::OtherType),
            ("[1]", NotAnAmount::OtherType),
            ("{\"a\":1}", NotAnAmount::OtherType),
            ("0", NotAnAmount::Zero),
            ("-0", NotAnAmount::Zero),
            ("-1", NotAnAmount::Negative),
            ("79228162514264337593543950337", NotAnAmount::TooLarge),
            ("999999999999999999999999999999999999999999999", NotAnAmount::TooLarge),
        ] {
            let problem = given(amount).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidAmount, "{amount}");
            assert_eq!(problem.errors()[0].pointer, "/amount");
            assert_eq!(problem.errors()[0].detail, fault.text(), "{amount}");
        }
    }

    #[test]
    fn a_missing_amount_is_an_invalid_one() {
        let body: Body = serde_json::from_str("{}").unwrap();
        assert_eq!(body.amount.required("/amount").unwrap_err().code(), Code::InvalidAmount);
    }

    #[test]
    fn a_parameter_is_read_by_the_same_rules() {
        assert_eq!(AmountField::from_parameter("10", "/min_amount").map(Amount::minor), Ok(10));
        for text in ["", "007", "+1", "1_000", "1,000", " 1", "１"] {
            assert!(AmountField::from_parameter(text, "/min_amount").is_err(), "{text}");
        }
    }
}
