//! What an import does not take: rows that are refused while the rest goes on, and files of which
//! nothing is booked at all.

use serde_json::Value;

use crate::carry::{Desk, figures};
use crate::cli::{Process, printed, run};

/// Two accounts, of which the first has 1,000 won.
const OPENING: &str = "op,bank,number,currency,amount\n\
    open,088,1,KRW,\n\
    open,088,2,KRW,\n\
    deposit,088,1,,1000\n";

const OWNER: &str = "minji";

fn ledger() -> Desk {
    let desk = Desk::new();
    printed(&["user", "add", OWNER, "--data", desk.path("l").to_str().unwrap()], "");
    let file = desk.file("opening.csv", OPENING);
    assert_eq!(desk.imported("l", &[&file, "--owner", OWNER]), [3, 0, 0]);
    desk
}

#[test]
fn a_bad_row_is_told_with_its_line_and_the_rest_goes_on() {
    let desk = ledger();
    let table = "op,bank,number,to_bank,to_number,from_bank,from_number,amount,memo,metadata\r\n\
        deposit,088,1,,,,,\"1,000\",,\r\n\
        deposit,088,1,,,,,1.0,,\r\n\
        deposit,088,1,,,,,,,\r\n\
        deposit,088,1,,,,,-5,,\r\n\
        withdrawal,088,1,,,,,1001,,\r\n\
        deposit,088,9,,,,,1,,\r\n\
        deposit,088,1,,,,,1,\"두\n줄\",\r\n\
        deposit,088,1,,,,,1,,\"{\"\"k\"\":1}\"\r\n\
        transfer,,,088,2,088,1,400,\"점심, \"\"국밥\"\"\",\"{\"\"주문\"\":\"\"7\"\"}\"\r\n\
        gift,088,1,,,,,1,,\r\n\
        deposit,088,1,,,,,1,,,\r\n";
    let file = desk.file("bad.csv", table);
    let rejects = desk.path("rejects.ndjson");
    let rejects = rejects.to_str().unwrap();
    let (code, printed, said) = desk.import("l", &[&file, "--rejects", rejects]);
    assert_eq!(code, 1);
    assert!(printed.starts_with("11 rows: 1 done, 0 already there, 10 refused"), "{printed}");
    for (line, text) in [
        (2, "invalid-amount: amount must be a number"),
        (3, "invalid-amount: amount must be a whole number"),
        (4, "invalid-amount: amount is missing"),
        (5, "invalid-amount: amount must not be negative"),
        (6, "insufficient-funds: 1000 is available, and 1001 was requested."),
        (7, "not-found: account names no account"),
        (8, "invalid-request: memo must not contain '\\n'"),
        (10, "invalid-request: metadata must be a JSON object of texts"),
        (12, "invalid-request: op must be open, deposit"),
        (13, "invalid-request: it has 11 cells where the header has 10"),
    ] {
        assert!(said.contains(&format!("line {line}: {text}")), "line {line}: {text}\nin\n{said}");
    }
    let kept = std::fs::read_to_string(rejects).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), 10);
    assert_eq!(kept[4]["line"], 6);
    assert_eq!(kept[4]["problem"]["available"], 1000);
    assert_eq!(kept[4]["cells"]["amount"], "1001");
    let standing = &desk.standings("l")["088/1"];
    assert_eq!((&standing[0], &standing[1]), (&600.into(), &2.into()));
    let memo = desk.export("l", &["--account", "088/2"]);
    assert!(memo.contains(r#"점심, \"국밥\""#), "{memo}");
}

#[test]
fn only_the_first_refusals_are_told_one_by_one() {
    let desk = ledger();
    let row = r#"{"op": "withdrawal", "account": {"bank": "088", "number": "2"}, "amount": 1}"#;
    let file = desk.file("poor.ndjson", format!("{row}\n").repeat(50));
    let (code, printed, said) = desk.import("l", &[&file]);
    assert_eq!(code, 1);
    assert!(printed.contains("50 refused"), "{printed}");
    assert_eq!(said.lines().filter(|line| line.starts_with("line ")).count(), 20, "{said}");
    assert!(said.contains("and 30 more lines were refused"), "{said}");
    let (code, printed, _) = desk.import("l", &[&file, "--stop-at-first", "--job", "again"]);
    assert_eq!(code, 1);
    assert!(printed.starts_with("1 rows: 0 done, 0 already there, 1 refused"), "{printed}");
}

#[test]
fn of_a_file_that_cannot_be_read_nothing_is_booked() {
    let desk = ledger();
    let before = desk.export("l", &[]);
    let deposit = "deposit,088,1,5";
    let header = "op,bank,number,amount";
    let cp949 =
        [format!("{header},memo\n{deposit},a\n{deposit},").as_bytes(), b"\xbf\xf9\n"].concat();
    let open_quote =
        format!("{header},memo\n{deposit},\"{}", format!("{deposit},x\n").repeat(9_000));
    let row = br#"{"op":"deposit","account":{"bank":"088","number":"1"},"amount":5}"#.as_slice();
    for (name, bytes, said) in [
        ("cp949.csv", cp949, "byte 61, in line 3, is not UTF-8"),
        ("utf16.csv", b"\xff\xfeo\0p\0".to_vec(), "byte 0, in line 1, is not UTF-8"),
        ("unknown.csv", format!("{header},balance\n{deposit},5\n").into(), "\"balance\" is not"),
        ("twice.csv", format!("{header},amount\n{deposit},5\n").into(), "amount stands in"),
        ("missing.csv", "bank,number,amount\n088,1,5\n".into(), "the column op is missing"),
        ("empty.csv", Vec::new(), "there is no header"),
        ("quote.csv", open_quote.into(), "a quotation mark was left open in line 2"),
        (
            "end.csv",
            format!("{header},memo\n{deposit},fine\n{deposit},\"open").into(),
            "a quotation mark was left open in line 3",
        ),
        (
            "swallowed.csv",
            format!("{header},memo\n{deposit},fine\n{deposit},\"open\n{deposit},x\n").into(),
            "a quotation mark was left open in line 3",
        ),
        ("late.ndjson", [row, b"\n\xb0\xa1"].concat(), "is not UTF-8"),
    ] {
        let (code, printed, complained) = desk.import("l", &[&desk.file(name, bytes)]);
        assert_eq!(code, 1, "{name}: {printed}");
        assert!(complained.contains(said) && complained.contains(name), "{name}: {complained}");
        assert_eq!(printed, "", "{name}");
    }
    assert!(desk.import("l", &["/nowhere/at/all.csv"]).2.contains("cannot open"));
    assert!(desk.import("l", &["/dev/null"]).2.contains("is no regular file"));
    assert_eq!(desk.export("l", &[]), before);
}

#[test]
fn of_standard_input_what_stands_before_an_open_quotation_mark_is_booked_and_told() {
    let desk = ledger();
    let data = desk.path("l");
    let rows = "op,bank,number,amount,memo\ndeposit,088,1,5,fine\ndeposit,088,1,7,\"open\n";
    let output = run(&["import", "-", "--job", "j", "--data", data.to_str().unwrap()], rows);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(figures(&String::from_utf8(output.stdout).unwrap()), [1, 0, 0]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a quotation mark was left open in line 3"), "{said}");
    assert_eq!(desk.standings("l")["088/1"][0], 1_005);
}

#[test]
fn a_row_that_was_changed_under_its_job_is_refused_and_another_job_books_again() {
    let desk = ledger();
    let row = |amount: u64| {
        format!(r#"{{"op":"deposit","account":{{"bank":"088","number":"2"}},"amount":{amount}}}"#)
    };
    let two = format!("{}\n{}\n", row(1), row(2));
    let file = desk.file("pay.ndjson", &two);
    assert_eq!(desk.imported("l", &[&file, "--job", "pay"]), [2, 0, 0]);
    assert_eq!(desk.imported("l", &[&file, "--job", "pay"]), [0, 2, 0]);

    // A row more at the end is booked, one that differs is not.
    let file = desk.file("pay.ndjson", format!("{}\n{}\n{}\n", row(1), row(7), row(3)));
    let (code, printed, said) = desk.import("l", &[&file, "--job", "pay"]);
    assert_eq!(code, 1);
    assert!(printed.starts_with("3 rows: 1 done, 1 already there, 1 refused"), "{printed}");
    assert!(said.contains("line 2: idempotency-key-reused"), "{said}");
    assert!(said.contains("differs in: amount"), "{said}");

    let file = desk.file("pay.ndjson", &two);
    assert_eq!(desk.imported("l", &[&file]), [2, 0, 0], "the file's contents are a job too");
    assert_eq!(desk.imported("l", &[&file]), [0, 2, 0]);
    assert_eq!(desk.imported("l", &[&file, "--job", "once-more"]), [2, 0, 0]);
    assert_eq!(desk.standings("l")["088/2"][0], 1 + 2 + 3 + 2 * (1 + 2));
    for name in ["", "급여", &"j".repeat(101)] {
        assert!(desk.import("l", &[&file, "--job", name]).2.contains("visible ASCII"), "{name}");
    }
}

#[test]
fn without_a_file_a_job_must_be_named_to_be_protected() {
    let desk = ledger();
    let data = desk.path("l");
    let row = r#"{"op":"deposit","account":{"bank":"088","number":"2"},"amount":5}"#;
    let from_stdin = |more: &[&str]| {
        let arguments = [&["import", "-", "--data", data.to_str().unwrap()], more].concat();
        let output = run(&arguments, row);
        assert!(output.status.success());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (figures(&text(output.stdout)), text(output.stderr))
    };
    for _ in 0..2 {
        let (done, said) = from_stdin(&[]);
        assert_eq!(done, [1, 0, 0]);
        assert!(said.contains("are booked again if this is run again"), "{said}");
    }
    assert_eq!(from_stdin(&["--job", "j"]), ([1, 0, 0], String::new()));
    assert_eq!(from_stdin(&["--job", "j"]), ([0, 1, 0], String::new()));
}

#[test]
fn a_lines_own_key_holds_in_whatever_job() {
    let desk = ledger();
    let row = r#"{"op":"deposit","account":{"bank":"088","number":"2"},"amount":5,
        "idempotency_key":"k-1"}"#
        .replace('\n', "");
    let twice = desk.file("twice.ndjson", format!("{row}\n{row}\n"));
    assert_eq!(desk.imported("l", &[&twice, "--job", "a"]), [1, 1, 0]);
    assert_eq!(desk.imported("l", &[&twice, "--job", "b"]), [0, 2, 0]);
}

#[test]
fn accounts_may_be_named_by_ids_of_this_ledger() {
    let desk = ledger();
    let export = desk.export("l", &[]);
    let first: Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
    let id = first["account"].as_str().unwrap();
    let file = desk.file("own.csv", format!("op,account,amount\ndeposit,{id},5\n"));
    assert_eq!(desk.imported("l", &[&file]), [1, 0, 0]);
    let unknown = id.replace("acc_0", "acc_1");
    let file = desk.file("own.csv", format!("op,account,amount\ndeposit,{unknown},5\n"));
    let (_, _, said) = desk.import("l", &[&file]);
    assert!(said.contains(&format!("not-found: There is no account {unknown}.")), "{said}");
}

#[test]
fn a_line_never_books_on_an_account_instead_of_the_one_that_was_to_be_opened() {
    let desk = ledger();
    let before = desk.export("l", &[]);
    let first: Value = serde_json::from_str(before.lines().next().unwrap()).unwrap();
    let id = first["account"].as_str().unwrap();
    // No owner, an unknown field, a number that is taken: whyever the opening is refused.
    for opening in [
        format!(r#"{{"op":"open","account":"{id}","currency":"KRW"}}"#),
        format!(r#"{{"op":"open","account":"{id}","currency":"KRW","amount":1}}"#),
        before.lines().next().unwrap().to_owned(),
    ] {
        let deposit = format!(r#"{{"op":"deposit","account":"{id}","amount":5}}"#);
        let file = desk.file("own.ndjson", format!("{opening}\n{deposit}\n"));
        let (_, printed, said) = desk.import("l", &[&file]);
        assert!(printed.contains("0 done") && printed.contains("2 refused"), "{printed}{said}");
        assert!(said.contains("line 2: not-found: account names an account whose"), "{said}");
    }
    assert_eq!(desk.export("l", &[]), before);
}

#[test]
fn a_file_may_call_its_accounts_by_names_of_its_own() {
    let desk = ledger();
    let table = "op,account,from_account,to_account,currency,amount\n\
        open,A00,,,KRW,\n\
        open,김지원,,,KRW,\n\
        deposit,A00,,,,500\n\
        transfer,,A00,김지원,,200\n\
        open,A00,,,KRW,\n\
        deposit,A01,,,,1\n\
        deposit,acc_1,,,,1\n";
    let file = desk.file("named.csv", table);
    let (_, printed, said) = desk.import("l", &[&file, "--owner", OWNER]);
    assert!(printed.starts_with("7 rows: 4 done, 0 already there, 3 refused"), "{printed}{said}");
    for text in [
        "line 6: invalid-request: account is what a line above calls another account",
        "line 7: not-found: account is no account's id, and no line above opens",
        "line 8: invalid-request: account must be the id of an account (acc_",
    ] {
        assert!(said.contains(text), "{text}\nin\n{said}");
    }
    let (_, again, _) = desk.import("l", &[&file, "--owner", OWNER]);
    assert!(again.starts_with("7 rows: 0 done, 4 already there, 3 refused"), "{again}");
    // A name means something in its own file only: this is another account.
    let file =
        desk.file("other.csv", "op,account,currency,amount\nopen,A00,KRW,\ndeposit,A00,,7\n");
    assert_eq!(desk.imported("l", &[&file, "--owner", OWNER]), [2, 0, 0]);
    let mut balances: Vec<_> = desk.standings("l").values().map(|at| at[0].clone()).collect();
    balances.sort_by_key(|balance| balance.as_i64());
    assert_eq!(balances, [-1507, 0, 7, 200, 300, 1000]);
}

#[test]
fn a_lines_own_key_is_never_that_of_another_row() {
    let desk = ledger();
    let row = |more: &str| {
        format!(r#"{{"op":"deposit","account":{{"bank":"088","number":"2"}},"amount":5{more}}}"#)
    };
    let own = row(r#","idempotency_key":"import/j/2""#);
    let file = desk.file("keys.ndjson", format!("{own}\n{}\n", row("")));
    let (_, printed, said) = desk.import("l", &[&file, "--job", "j"]);
    assert!(printed.starts_with("2 rows: 1 done, 0 already there, 1 refused"), "{printed}");
    assert!(said.contains("idempotency_key must not begin with import/"), "{said}");
}

#[test]
fn who_owns_what_is_opened_must_be_said() {
    let desk = ledger();
    let file = desk.file("open.csv", "op,currency,number\nopen,KRW,3\nopen,KRW,\n");
    let (_, printed, said) = desk.import("l", &[&file]);
    assert!(printed.contains("2 refused"), "{printed}");
    assert!(said.contains("owner_id is missing, and no --owner was given"), "{said}");
    assert!(desk.import("l", &[&file, "--owner", "nobody"]).2.contains("there is no user nobody"));
    assert!(desk.import("new", &[&file, "--owner", "minji"]).2.contains("tongjang user add minji"));
    assert_eq!(desk.imported("l", &[&file, "--owner", OWNER]), [2, 0, 0]);
    assert!(desk.standings("l").contains_key("tongjang/3"), "the house's bank");
    assert_eq!(desk.imported("l", &[&file, "--owner", OWNER]), [0, 2, 0], "a made number too");
}

#[test]
fn while_a_server_has_the_ledger_an_import_says_where_to_go_and_an_export_works() {
    let desk = ledger();
    let before = desk.export("l", &[]);
    let process = Process::start(&desk.path("l"), &[]);
    let file = desk.file("more.csv", "op,bank,number,amount\ndeposit,088,1,5\n");
    let (code, _, said) = desk.import("l", &[&file]);
    assert_eq!(code, 1);
    assert!(said.contains("a server or another import has the ledger"), "{said}");
    assert!(said.contains("stop it first") && said.contains("/v1/batches"), "{said}");
    assert_eq!(desk.imported("l", &[&file, "--dry-run"]), [1, 0, 0]);
    assert_eq!(desk.export("l", &[]), before);
    process.end("-TERM");
    assert!(desk.import("l", &[&file]).1.contains("1 done"));
}

#[test]
fn an_export_of_nothing_says_so_and_leaves_no_file() {
    let desk = Desk::new();
    let (data, out) = (desk.path("none"), desk.path("out.csv"));
    let arguments = ["export", "--data", data.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let output = run(&arguments, "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no ledger in"), "{said}");
    assert!(!out.exists() && !desk.path("out.csv.partial").exists());
}
