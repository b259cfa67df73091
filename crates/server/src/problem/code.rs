//! Every code that a problem can have, in one table. The pages under `/problems` and
//! `docs/errors.md` are made from it.

use axum::http::StatusCode;

use super::Text;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident,
        $title_en:literal / $title_ko:literal, $detail_en:literal / $detail_ko:literal;)*) => {
        /// What went wrong, as the API names it. The names are part of the contract.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = $title_en] $name,)*
        }

        impl Code {
            /// All codes, in the order of their statuses.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it stands in an answer, e.g. `insufficient-funds`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The status that it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// What it is called, the same for each occurrence.
            pub const fn title(self) -> Text {
                match self { $(Self::$name => Text::fixed($title_en, $title_ko)),* }
            }

            /// What it means and what to do, where an occurrence has nothing more exact to say.
            pub const fn meaning(self) -> Text {
                match self { $(Self::$name => Text::fixed($detail_en, $detail_ko)),* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed-json", BAD_REQUEST,
        "The body is not valid JSON" / "본문이 올바른 JSON이 아닙니다",
        "The body must be one JSON document in UTF-8 (RFC 8259)."
        / "본문은 UTF-8로 된 하나의 JSON 문서여야 합니다(RFC 8259).";
    InvalidRequest = "invalid-request", BAD_REQUEST,
        "The request is not valid" / "요청이 올바르지 않습니다",
        "A field, parameter or header is missing, unknown, given twice or has a wrong value; \
         `errors` names each."
        / "필드, 매개변수 또는 헤더가 없거나, 알 수 없거나, 두 번 쓰였거나, 값이 잘못되었습니다. \
           `errors`에 하나씩 적혀 있습니다.";
    InvalidAmount = "invalid-amount", BAD_REQUEST,
        "The amount is not valid" / "금액이 올바르지 않습니다",
        "An amount is a whole JSON number of the currency's minor unit, from 1 to 2^96."
        / "금액은 통화의 최소 단위로 나타낸 JSON 정수이며 1 이상 2^96 이하입니다.";
    InvalidCursor = "invalid-cursor", BAD_REQUEST,
        "The cursor is not valid" / "커서가 올바르지 않습니다",
        "A cursor works only as it was handed out, with the same account and filters. Start again \
         without one."
        / "커서는 발급된 그대로, 같은 계좌와 같은 조건에서만 쓸 수 있습니다. 커서 없이 다시 \
           시작하세요.";
    InvalidIdempotencyKey = "invalid-idempotency-key", BAD_REQUEST,
        "The Idempotency-Key is not valid" / "Idempotency-Key가 올바르지 않습니다",
        "Send one Idempotency-Key header with 1 to 255 visible ASCII characters, bare or in double \
         quotes."
        / "Idempotency-Key 헤더 하나에 보이는 ASCII 문자 1~255자를 그대로 또는 큰따옴표로 \
           묶어 보내세요.";
    Unauthenticated = "unauthenticated", UNAUTHORIZED,
        "Who is calling is not known" / "인증되지 않았습니다",
        "Send `Authorization: Bearer` with a valid access token or API key."
        / "`Authorization: Bearer`에 유효한 액세스 토큰이나 API 키를 담아 보내세요.";
    NotAccountOwner = "not-account-owner", FORBIDDEN,
        "The account belongs to somebody else" / "계좌의 소유자가 아닙니다",
        "Only the owner of an account may use it."
        / "계좌의 소유자만 그 계좌를 쓸 수 있습니다.";
    NotPermitted = "not-permitted", FORBIDDEN,
        "The caller may not do this" / "허용되지 않은 요청입니다",
        "This call needs another role, another scope or a session token."
        / "이 호출에는 다른 역할, 다른 권한 범위 또는 로그인 토큰이 필요합니다.";
    NotFound = "not-found", NOT_FOUND,
        "There is no such thing" / "찾을 수 없습니다",
        "Nothing is found under this address or id."
        / "이 주소나 식별자에 해당하는 것이 없습니다.";
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED,
        "This method is not for this address" / "이 주소에 쓸 수 없는 메서드입니다",
        "The `Allow` header names the methods that are."
        / "쓸 수 있는 메서드는 `Allow` 헤더에 적혀 있습니다.";
    NotAcceptable = "not-acceptable", NOT_ACCEPTABLE,
        "No answer of a type that the caller accepts" / "받을 수 있는 형식의 응답이 없습니다",
        "The answer is `application/json`, and to a batch sent line by line \
         `application/x-ndjson`; let `Accept` admit it."
        / "응답은 `application/json`이며, 한 줄씩 보낸 묶음의 응답은 `application/x-ndjson`입니다. \
           `Accept`에서 허용하세요.";
    UsernameTaken = "username-taken", CONFLICT,
        "The username is taken" / "이미 쓰이는 사용자 이름입니다",
        "Somebody has this username; upper and lower case do not tell names apart."
        / "같은 사용자 이름이 이미 있습니다. 대문자와 소문자는 구별하지 않습니다.";
    AccountNumberTaken = "account-number-taken", CONFLICT,
        "The account number is taken" / "이미 쓰이는 계좌번호입니다",
        "This bank has an account of that number; hyphens and case do not tell numbers apart."
        / "이 은행에 같은 계좌번호가 이미 있습니다. 하이픈과 대소문자는 구별하지 않습니다.";
    AlreadyReversed = "already-reversed", CONFLICT,
        "The transaction is reversed already" / "이미 취소된 거래입니다",
        "A transaction can be reversed once."
        / "거래는 한 번만 취소할 수 있습니다.";
    HoldNotPending = "hold-not-pending", CONFLICT,
        "The hold is no longer pending" / "대기 중인 보류가 아닙니다",
        "The hold was captured, released or has expired."
        / "보류가 이미 확정되었거나 해제되었거나 만료되었습니다.";
    AccountNotEmpty = "account-not-empty", CONFLICT,
        "The account is not empty" / "계좌에 잔액이 남아 있습니다",
        "An account can be closed when its balance is zero and no hold is pending."
        / "잔액이 0이고 대기 중인 보류가 없을 때만 계좌를 해지할 수 있습니다.";
    Conflict = "conflict", CONFLICT,
        "The request meets another one" / "다른 요청과 충돌했습니다",
        "Something else was changed at the same time; look at it and try again. In an atomic \
         batch: this command was not booked because another one was refused, which `detail` names; \
         mend that one and send the batch again, with the same keys."
        / "같은 대상이 동시에 바뀌었습니다. 확인한 뒤 다시 시도하세요. `atomic` 묶음에서는 다른 \
           명령이 거부되어 이 명령도 기록하지 않았다는 뜻입니다. 어느 명령인지는 `detail`에 적혀 \
           있습니다. 그 명령을 고쳐 같은 키로 묶음을 다시 보내세요.";
    VersionMismatch = "version-mismatch", PRECONDITION_FAILED,
        "The account has changed" / "계좌가 그사이 바뀌었습니다",
        "`If-Match` names another version than the account's; fetch it again."
        / "`If-Match`의 버전이 계좌의 현재 버전과 다릅니다. 다시 조회하세요.";
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE,
        "The body is too large" / "본문이 너무 큽니다",
        "A body may have up to 1 MiB (1,048,576 bytes); a batch in one document up to 32 MiB, and \
         a line of a batch sent line by line up to 64 KiB."
        / "본문은 최대 1 MiB(1,048,576바이트)입니다. 한 문서로 보내는 묶음은 최대 32 MiB, 한 줄씩 \
           보내는 묶음의 한 줄은 최대 64 KiB입니다.";
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE,
        "The body is of another type" / "지원하지 않는 본문 형식입니다",
        "Send the body as `Content-Type: application/json`; a batch may also be sent line by line, \
         as `application/x-ndjson`."
        / "본문을 `Content-Type: application/json`으로 보내세요. 묶음은 `application/x-ndjson`으로 \
           한 줄씩 보낼 수도 있습니다.";
    InsufficientFunds = "insufficient-funds", UNPROCESSABLE_ENTITY,
        "The account has not enough money" / "잔액이 부족합니다",
        "More was requested than is available."
        / "출금 가능 금액보다 많은 금액을 요청했습니다.";
    AccountFrozen = "account-frozen", UNPROCESSABLE_ENTITY,
        "The account is frozen" / "정지된 계좌입니다",
        "Nothing can be booked on a frozen account."
        / "정지된 계좌에는 거래를 기록할 수 없습니다.";
    AccountClosed = "account-closed", UNPROCESSABLE_ENTITY,
        "The account is closed" / "해지된 계좌입니다",
        "Nothing can ever be booked on a closed account."
        / "해지된 계좌에는 더 이상 거래를 기록할 수 없습니다.";
    CurrencyMismatch = "currency-mismatch", UNPROCESSABLE_ENTITY,
        "The currencies differ" / "통화가 다릅니다",
        "Both accounts of a transfer must hold the same currency."
        / "이체하는 두 계좌의 통화가 같아야 합니다.";
    SameAccount = "same-account", UNPROCESSABLE_ENTITY,
        "Both accounts are the same one" / "같은 계좌로는 이체할 수 없습니다",
        "A transfer needs two different accounts."
        / "이체에는 서로 다른 두 계좌가 필요합니다.";
    LimitExceeded = "limit-exceeded", UNPROCESSABLE_ENTITY,
        "A limit is exceeded" / "한도를 초과했습니다",
        "The request exceeds a limit that is set for the account."
        / "계좌에 설정된 한도를 넘는 요청입니다.";
    BalanceOverflow = "balance-overflow", UNPROCESSABLE_ENTITY,
        "The balance would grow beyond all bounds" / "잔액이 표현 범위를 벗어납니다",
        "A balance or total is held in 128 bits, and would not fit any more."
        / "잔액과 합계는 128비트로 저장되며, 이 거래 뒤에는 그 범위를 벗어납니다.";
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY,
        "The Idempotency-Key stands for another request"
        / "다른 요청에 이미 쓰인 Idempotency-Key입니다",
        "Use a new key for a new request; `fields` names what differs from the first one."
        / "새 요청에는 새 키를 쓰세요. 처음 요청과 다른 필드는 `fields`에 적혀 있습니다.";
    RateLimited = "rate-limited", TOO_MANY_REQUESTS,
        "Too many attempts" / "시도 횟수가 너무 많습니다",
        "Wait as long as `Retry-After` says."
        / "`Retry-After`에 적힌 시간만큼 기다리세요.";
    Internal = "internal", INTERNAL_SERVER_ERROR,
        "The server made a mistake" / "서버 내부 오류입니다",
        "This is a bug. Report it with the `X-Request-Id` of the answer. If the call moved money, \
         send it again with the same Idempotency-Key to learn its outcome."
        / "서버의 버그입니다. 응답의 `X-Request-Id`와 함께 알려 주세요. 돈을 옮기는 호출이었다면 \
           같은 Idempotency-Key로 다시 보내 결과를 확인하세요.";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE,
        "Too much to do" / "요청이 너무 많습니다",
        "Nothing was changed. Try again after `Retry-After` seconds."
        / "바뀐 것은 없습니다. `Retry-After`초 뒤에 다시 시도하세요.";
    ShuttingDown = "shutting-down", SERVICE_UNAVAILABLE,
        "The server is stopping" / "서버가 종료되는 중입니다",
        "Nothing was changed. Try again after `Retry-After` seconds."
        / "바뀐 것은 없습니다. `Retry-After`초 뒤에 다시 시도하세요.";
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE,
        "The store is not available" / "저장소를 쓸 수 없습니다",
        "The outcome of a call that moves money is unknown: send it again with the same \
         Idempotency-Key after `Retry-After` seconds."
        / "돈을 옮기는 호출의 결과를 알 수 없습니다. `Retry-After`초 뒤에 같은 \
           Idempotency-Key로 다시 보내세요.";
}

impl Code {
    /// The code that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}
