//! The file of refused rows: it keeps them as they stood, is itself imported, and is there only
//! once it is whole.

use serde_json::Value;

use crate::carry::{Desk, figures};
use crate::cli::{printed, run};

const OWNER: &str = "minji";

/// A ledger with the account 088/1, and someone who owns it.
fn ledger() -> Desk {
    let desk = Desk::new();
    printed(&["user", "add", OWNER, "--data", desk.path("l").to_str().unwrap()], "");
    let file = desk.file("opening.csv", "op,bank,number,currency\nopen,088,1,KRW\n");
    assert_eq!(desk.imported("l", &[&file, "--owner", OWNER]), [1, 0, 0]);
    desk
}

impl Desk {
    /// Imports the file and keeps what is refused, and tells all of it and how many were.
    fn kept(&self, file: &str, more: &[&str]) -> (String, u64) {
        let rejects = self.path("rejects.ndjson");
        let keep = ["--rejects", rejects.to_str().unwrap()];
        let refused = self.imported("l", &[&[file], more, &keep].concat())[2];
        let kept = std::fs::read_to_string(&rejects).unwrap();
        assert_eq!(kept.lines().count() as u64, refused, "{kept}");
        assert!(!self.path("rejects.ndjson.partial").exists());
        (kept, refused)
    }

    fn balance(&self, account: &str) -> Value {
        self.standings("l")[account][0].clone()
    }
}

#[test]
fn a_refused_row_is_kept_byte_by_byte() {
    let desk = ledger();
    let account = r#""account":{"bank":"088","number":"1"}"#;
    let rows = [
        format!(r#"{{"op":"deposit",{account},"amount":1,"amount":2}}"#),
        format!(r#"{{ "op":"deposit",{account},"amount":79228162514264337593543950337}}"#),
        format!(r#"{{"op":"withdrawal",{account},"amount":9007199254740993,"memo":"\uac00"}}"#),
    ];
    let (kept, refused) = desk.kept(&desk.file("rows.ndjson", rows.join("\n")), &[]);
    assert_eq!(refused, 3);
    for (row, line) in rows.iter().zip(kept.lines()) {
        assert!(line.ends_with(&format!(r#","row":{row}}}"#)), "{line}");
    }
    // Tried again they are refused for the same reasons, and kept as they were.
    let (again, refused) = desk.kept(&desk.file("again.ndjson", &kept), &["--job", "again"]);
    assert_eq!((again, refused), (kept, 3));
    assert_eq!(desk.balance("088/1"), 0);
}

#[test]
fn a_refused_row_of_a_table_is_imported_again() {
    let desk = ledger();
    let table = "op,bank,number,account,currency,amount,memo\n\
        open,088,2,A00,KRW,,\n\
        withdrawal,,,A00,,300,'=점심\n\
        withdrawal,088,1,,,200,\n\
        deposit,088,1,,,100,\"a\"b\n";
    let file = desk.file("rows.csv", table);
    let (kept, refused) = desk.kept(&file, &["--owner", OWNER]);
    assert_eq!(refused, 3);
    let lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["line"], &lines[0]["cells"]["memo"]), (&3.into(), &"'=점심".into()));
    assert_eq!(lines[2]["row"], r#"deposit,088,1,,,100,"a"b"#);

    // Once there is money, also on the account that only the first file has a name for.
    let money = "op,bank,number,amount\ndeposit,088,1,1000\ndeposit,088,2,1000\n";
    assert_eq!(desk.imported("l", &[&desk.file("money.csv", money)]), [2, 0, 0]);
    let again = desk.file("again.ndjson", &kept);
    let (kept, refused) = desk.kept(&again, &[]);
    assert_eq!(refused, 1, "{kept}");
    assert!(kept.contains("mend it where it comes from"), "{kept}");
    assert_eq!((desk.balance("088/1"), desk.balance("088/2")), (800.into(), 700.into()));
    assert!(desk.export("l", &["--account", "088/2"]).contains(r#""memo":"=점심""#));
    assert_eq!(desk.imported("l", &[&again]), [0, 2, 1], "twice it books nothing more");
}

#[test]
fn what_is_read_is_not_written_over() {
    let desk = ledger();
    let row = r#"{"op":"withdrawal","account":{"bank":"088","number":"1"},"amount":5}"#;
    std::os::unix::fs::symlink(desk.path("r"), desk.path("linked")).unwrap();
    for (name, rejects) in [("r", "r"), ("r", "linked"), ("r.partial", "r")] {
        let (file, rejects) = (desk.file(name, row), desk.path(rejects));
        let (code, printed, said) =
            desk.import("l", &[&file, "--rejects", rejects.to_str().unwrap()]);
        assert_eq!((code, printed.as_str()), (1, ""), "{name}");
        assert!(said.contains("which is read"), "{name}: {said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), row, "{name}");
    }
    // What an import of no use leaves of an earlier file is all of it.
    let kept = desk.file("kept.ndjson", "earlier");
    let bad = desk.file("bad.csv", "op,amount,memo\ndeposit,1,\"x\n");
    assert_eq!(desk.import("l", &[&bad, "--rejects", &kept]).0, 1);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "earlier");
}

#[test]
fn what_was_done_is_told_where_the_refused_cannot_be_kept() {
    let desk = ledger();
    let account = r#""account":{"bank":"088","number":"1"}"#;
    for (refused, done) in [(1, 2), (2_000, 1)] {
        let poor = format!("{{\"op\":\"withdrawal\",{account},\"amount\":500}}\n").repeat(refused);
        let money = format!("{{\"op\":\"deposit\",{account},\"amount\":1}}\n");
        let file = desk.file("rows.ndjson", format!("{money}{poor}{money}"));
        let data = desk.path("l");
        let arguments = ["import", &file, "--rejects", "/dev/full", "--job", &refused.to_string()];
        let output = run(&[&arguments[..], &["--data", data.to_str().unwrap()]].concat(), "");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(figures(&String::from_utf8(output.stdout).unwrap())[0], done);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot") && said.contains("No space left"), "{said}");
    }
    assert_eq!(desk.balance("088/1"), 3, "and what is told is durable");
}

#[test]
fn an_export_replaces_no_file_unless_told_to() {
    let desk = ledger();
    let (data, out) = (desk.path("l"), desk.file("out.ndjson", "mine"));
    let arguments = ["export", "--data", data.to_str().unwrap(), "-o", &out];
    let output = run(&arguments, "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is there already; --force replaces it"), "{said}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
    assert_eq!(printed(&[&arguments[..], &["--force"]].concat(), ""), "");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), desk.export("l", &[]));
    assert!(!desk.path("out.ndjson.partial").exists());
    // A device is written to, and not replaced.
    let arguments = ["export", "--data", data.to_str().unwrap(), "-o", "/dev/full"];
    assert!(!run(&arguments, "").status.success());
    assert!(
        std::fs::exists("/dev/full").unwrap() && !std::fs::exists("/dev/full.partial").unwrap()
    );
}
