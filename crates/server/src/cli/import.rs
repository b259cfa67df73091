//! `tongjang import`: lines of a file into the ledger, straight and fast, without a server.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use tongjang_core::UserId;
use tongjang_store::journal::{Journal, JournalConfig, Rehearsal};
use tongjang_store::{Chance, StoreError};

use super::print;
use super::progress::Progress;
use super::whole_file::{WholeFile, partial_of};
use crate::app::Random;
use crate::carry::import::{Import, Importing, Job, Row, Tally};
use crate::carry::rejects::{Kept, Reject};
use crate::carry::rows::{Form, Rows};
use crate::carry::same::Same;
use crate::carry::shared::SharedImport;
use crate::config::StoreArgs;
use crate::database::{Database, runtime};
use crate::directory::users_in;
use crate::problem::{Language, Problem};
use crate::serve::make_data_directory;

/// So many refusals are told one by one.
const TOLD: u64 = 20;

/// The options of `tongjang import`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each line opens an account, books a deposit, withdrawal or transfer, or changes an account's \
status. The fields and columns are in docs/import-export.md; `tongjang export` writes them.

It may be run again, after a crash too: what was done is not done twice. A line is known again by \
its own idempotency_key; or, in an export, by the transaction_id or account that it had there, \
whatever file it is in; or else by the job and its place in the file. The job is the file's \
contents, unless --job names one. So to add lines at the end of a file, or to correct it, and run \
it again, give a --job from the first time on: without one a file that was changed is another job, \
and all of its lines are booked. To book the same file a second time on purpose, give another --job.

A line under a job that was done with other contents is refused. So is again what was refused \
before. To try refused lines once more, import the file that --rejects kept of them; lines with a \
transaction_id need another --job then, and lines with an idempotency_key another key.

In a folder it takes the ledger's lock, so stop the server first; into a database (--store) it \
books while servers go on. A running server takes openings, deposits, withdrawals and transfers on \
its own accounts at POST /v1/batches. Its keys are those of who sends them and not those of \
imports: do not import afterwards what was sent there, it would be booked again.")]
pub(super) struct ImportArgs {
    /// The file, or - for standard input: CSV, NDJSON, or what --rejects kept
    file: PathBuf,
    /// How it is written; by its name or its first bytes if left out
    #[arg(long, value_name = "FORMAT")]
    format: Option<Form>,
    /// Under which name its lines are known again: up to 100 visible ASCII characters
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Who will own accounts whose line names no owner_id: a username or the id of a user
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// Only tell what would come of it: nothing is booked, and only --rejects is written
    #[arg(long)]
    dry_run: bool,
    /// End at the first line that is refused; what was done before stays
    #[arg(long)]
    stop_at_first: bool,
    /// Write all refused lines into this file, a JSON object a line; import takes it again
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    #[command(flatten)]
    ledger: StoreArgs,
}

/// Imports the file; 1 if a line was refused.
pub(super) fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let named = match &args.job {
        None => None,
        Some(name) => Some(Job::named(name).with_context(|| {
            let most = Job::MAX_CHARS;
            format!("--job must be 1 to {most} visible ASCII characters, and {name:?} is not")
        })?),
    };
    let database = args.ledger.database_blocking()?;
    let database = database.as_ref();
    let owner = args.owner.as_deref().map(|name| owner(args, database, name)).transpose()?;
    if args.file.as_os_str() == "-" {
        if named.is_none() {
            eprintln!(
                "tongjang: without --job, lines without an idempotency_key or transaction_id are \
                 booked again if this is run again"
            );
        }
        let rows = Rows::new(std::io::stdin().lock(), args.form(), false)?;
        return with_store(args, database, rows, (named.unwrap_or(Job::None), owner), None);
    }
    let shown = args.file.display();
    let open = || File::open(&args.file).with_context(|| format!("cannot open {shown}"));
    let metadata = open()?.metadata()?;
    let twice = "is no regular file; it would be read twice, so give it as standard input: -";
    anyhow::ensure!(metadata.is_file(), "{shown} {twice}");
    // Before anything is booked, the whole file must be readable; its hash is its name.
    let read = || -> anyhow::Result<_> {
        let mut rows = Rows::new(open()?, args.form(), true)?;
        while rows.advance()? {}
        Ok((rows.bytes(), rows.sha256().expect("it was asked for")))
    };
    let (bytes, hash) = read().with_context(|| shown.to_string())?;
    let job = named.unwrap_or(Job::File(format!("sha256:{hash}")));
    let rows = Rows::new(Same::as_before(open()?, bytes, hash), args.form(), false)?;
    with_store(args, database, rows, (job, owner), Some(bytes))
}

impl ImportArgs {
    fn form(&self) -> Option<Form> {
        self.format.or_else(|| Form::of_name(&self.file))
    }
}

/// The user of this name or id.
fn owner(args: &ImportArgs, database: Option<&Database>, name: &str) -> anyhow::Result<UserId> {
    let id = name.parse().ok().filter(|id| *id != UserId::LEDGER);
    if let Some(database) = database {
        let found = runtime()?.block_on(async {
            let directory = database.directory().await?;
            match id {
                Some(id) => Ok(directory.known(vec![id]).await?.contains(&id).then_some(id)),
                None => directory.named(name).await,
            }
        });
        return found?.with_context(|| {
            format!("there is no user {name} in {}; see `tongjang user add`", database.store())
        });
    }
    let data = &args.ledger.data;
    let shown = data.display();
    let is_there = data.join(crate::directory::FILE).is_file();
    anyhow::ensure!(
        is_there,
        "there are no users in {shown} yet; make one first: tongjang user add {name} --data {shown}"
    );
    let found = users_in(data).and_then(|users| match id {
        Some(id) => Ok(users.knows(id)?.then_some(id)),
        None => users.named(name),
    });
    found?.with_context(|| format!("there is no user {name} in {shown}; see `tongjang user add`"))
}

/// Runs the import on the ledger, or rehearses it.
fn with_store<R: Read>(
    args: &ImportArgs,
    database: Option<&Database>,
    rows: Rows<R>,
    (job, owner): (Job, Option<UserId>),
    length: Option<u64>,
) -> anyhow::Result<ExitCode> {
    if let Some(database) = database {
        let (ledger, reader) = (&database.postgres, database.postgres.reader());
        if args.dry_run {
            let import = Import::new(ledger.rehearsal()?, job, owner);
            return run(args, rows, SharedImport::new(import, reader), length);
        }
        let import = Import::new(ledger.teller()?, job, owner);
        return run(args, rows, SharedImport::new(import, reader), length);
    }
    let data = &args.ledger.data;
    let config = JournalConfig::new(data, Random::system().bytes());
    if args.dry_run {
        let store = Rehearsal::open(&config)?;
        return run(args, rows, Import::new(store, job, owner), length);
    }
    make_data_directory(data)?;
    let (store, _, opening) = Journal::open(config).map_err(|error| match error {
        StoreError::InUse { .. } => anyhow::anyhow!(
            "a server or another import has the ledger in {}; stop it first. (A running server \
             takes openings, deposits, withdrawals and transfers at POST /v1/batches, but not \
             these files as they are.)",
            data.display()
        ),
        error => error.into(),
    })?;
    if let Some(torn) = &opening.recovered.torn {
        let (path, bytes) = (torn.path.display(), torn.bytes);
        eprintln!(
            "tongjang: an unfinished write of {bytes} bytes at the end of {path} was cut off"
        );
    }
    for error in &opening.unusable {
        eprintln!("tongjang: a snapshot was of no use: {error}");
    }
    run(args, rows, Import::new(store, job, owner), length)
}

/// A row that is still to be done.
struct Waiting {
    line: u64,
    bytes: u64,
    /// For the file of refused rows, if there is one.
    kept: Option<Kept>,
}

fn run<R: Read, I: Importing>(
    args: &ImportArgs,
    mut rows: Rows<R>,
    mut import: I,
    length: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut rejects = begin_rejects(args)?;
    let mut progress = Progress::begin(length, "rows", true);
    let mut broken = None;
    let (mut waiting, mut taken) = (Vec::new(), Vec::new());
    let mut goes_on = true;
    // Up to this line it is known what was done.
    let mut certain = 0;
    while goes_on {
        while goes_on && taken.len() < I::ROWS {
            match rows.advance() {
                Ok(true) => {
                    taken.push(Row::of(rows.fields()));
                    let (line, bytes) = (rows.line(), rows.bytes());
                    let kept = rejects.as_ref().map(|_| rows.kept());
                    waiting.push(Waiting { line, bytes, kept });
                }
                Ok(false) => goes_on = false,
                // What was done before stays, and is made durable and counted.
                Err(error) => {
                    broken = Some(error.context(args.file.display().to_string()));
                    goes_on = false;
                }
            }
        }
        let before = import.tally();
        let done = match import.rows(&taken, args.stop_at_first) {
            Ok(done) => done,
            Err(error) => {
                let why = broken_off(&error, import.all_have_keys(&taken), certain, &waiting);
                return Err(anyhow::Error::new(error).context(why));
            }
        };
        certain = waiting.last().map_or(certain, |waiting| waiting.line);
        let mut refused = before.refused;
        for ((row, waiting), done) in taken.iter().zip(waiting.drain(..)).zip(done) {
            progress.at(import.tally().rows, waiting.bytes);
            let Err(problem) = done else { continue };
            refused += 1;
            if refused <= TOLD {
                progress.line(&format!("line {}: {}", waiting.line, told(&problem)));
            }
            // What is opened in a rehearsal is there in no other run.
            let known = if args.dry_run { Vec::new() } else { import.known(row) };
            if let (Some(file), Some(kept), None) = (&mut rejects, waiting.kept, &broken) {
                let reject = Reject::new(waiting.line, &problem, kept, known);
                if let Err(error) = keep(file, &reject) {
                    broken = Some(error.context("cannot keep a refused line (--rejects)"));
                    goes_on = false;
                }
            }
            goes_on &= !args.stop_at_first;
        }
        taken.clear();
    }
    let owners: Vec<UserId> = import.owners().iter().copied().collect();
    let tally = import.finish().context("the import broke off; run it again")?;
    let millis = progress.end();
    let kept = rejects.map(WholeFile::finish).transpose();
    warn(args, tally, &owners);
    print(&summary(tally, millis, args.dry_run))?;
    match broken.or(kept.err()) {
        Some(error) => Err(error),
        None if tally.refused > 0 => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// How to go on where the store failed at the lines that wait; each before them is done or refused.
fn broken_off(
    error: &StoreError,
    all_have_keys: bool,
    certain: u64,
    waiting: &[Waiting],
) -> String {
    let (Chance::Unknown, false, [first, ..]) = (error.chance(), all_have_keys, waiting) else {
        return "the import broke off; run it again".to_owned();
    };
    let (first, last) = (first.line, waiting.last().map_or(first.line, |last| last.line));
    format!(
        "the import broke off: everything up to line {certain} was dealt with, and lines {first} \
         to {last} were booked together or none of them was, which is not known. Not all of them \
         have a key, so do not run it again as it is, that could book them twice: look in the \
         ledger for what line {first} says, and import the rest of the file, from line {} if it is \
         there, else from line {first}; with a --job this does not happen",
        last + 1
    )
}

/// Says what the summary's figures do not.
fn warn(args: &ImportArgs, tally: Tally, owners: &[UserId]) {
    if tally.refused > TOLD {
        let more = tally.refused - TOLD;
        let hint = if args.rejects.is_some() { "" } else { "; --rejects FILE keeps all of them" };
        eprintln!("tongjang: and {more} more lines were refused{hint}");
    }
    let unknown = unknown(args, owners).unwrap_or(owners.len());
    if unknown > 0 {
        eprintln!(
            "tongjang: owners of opened accounts who are no users here: {unknown}. Nobody can log \
             in as them: an export leaves users out. `tongjang copy` takes them along"
        );
    }
}

/// How many of `owners` are no users.
fn unknown(args: &ImportArgs, owners: &[UserId]) -> anyhow::Result<usize> {
    if let Some(database) = args.ledger.database_blocking()? {
        let known = runtime()?
            .block_on(async { database.directory().await?.known(owners.to_vec()).await })?;
        return Ok(owners.len() - known.len());
    }
    // Without a directory nobody is in it.
    let users = users_in(&args.ledger.data)?;
    let known = owners.iter().map(|owner| users.knows(*owner)).collect::<Result<Vec<_>, _>>()?;
    Ok(known.iter().filter(|known| !**known).count())
}

fn summary(tally: Tally, millis: u64, dry_run: bool) -> String {
    let Tally { rows, booked, there, refused } = tally;
    let (seconds, tenths) = (millis / 1_000, millis % 1_000 / 100);
    let rate = u128::from(rows) * 1_000 / u128::from(millis.max(1));
    let done = if dry_run { "would be done" } else { "done" };
    let tail = if dry_run { "; nothing was written" } else { "" };
    format!(
        "{rows} rows: {booked} {done}, {there} already there, {refused} refused; \
         {seconds}.{tenths} s, {rate} rows/s{tail}\n"
    )
}

/// The problem's object as answers have it.
fn object(problem: &Problem) -> Value {
    serde_json::to_value(problem.in_language(Language::En)).expect("problems can be written")
}

/// What is wrong, in a line.
fn told(problem: &Problem) -> String {
    let code = problem.code().as_str();
    match problem.errors().first() {
        None => format!("{code}: {}", object(problem)["detail"].as_str().unwrap_or_default()),
        Some(error) => {
            let field = error.pointer.trim_start_matches('/').replace('/', ".");
            let field = if field.is_empty() { "it".to_owned() } else { field };
            format!("{code}: {field} {}", error.detail.get(Language::En))
        }
    }
}

/// Begins the file of refused lines, which must not be the one that is read.
fn begin_rejects(args: &ImportArgs) -> anyhow::Result<Option<WholeFile>> {
    let Some(path) = &args.rejects else { return Ok(None) };
    let is_input = [path, &partial_of(path)].into_iter().any(|path| is_same(path, &args.file));
    anyhow::ensure!(!is_input, "--rejects would replace {}, which is read", args.file.display());
    WholeFile::create(path).map(Some)
}

fn is_same(path: &Path, input: &Path) -> bool {
    let input = if input.as_os_str() == "-" { Path::new("/dev/stdin") } else { input };
    let (Ok(one), Ok(other)) = (path.metadata(), input.metadata()) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        let same = || Some(path.canonicalize().ok()? == input.canonicalize().ok()?);
        one.is_file() && other.is_file() && same().unwrap_or(false)
    }
}

/// Keeps the row that was refused.
fn keep(file: &mut WholeFile, reject: &Reject) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *file, reject)?;
    Ok(file.write_all(b"\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_without_keys_whose_fate_is_unknown_are_not_to_be_imported_again() {
        let line = |line| Waiting { line, bytes: 0, kept: None };
        let waiting = [line(513), line(1_024)];
        let unknown = StoreError::Unknown { attempt: "commit a batch", cause: "it broke".into() };
        let said = broken_off(&unknown, false, 512, &waiting);
        for part in ["up to line 512", "lines 513 to 1024", "from line 1025", "else from line 513"]
        {
            assert!(said.contains(part), "{said}");
        }
        for (error, all_have_keys) in [(&unknown, true), (&StoreError::Overtaken, false)] {
            let said = broken_off(error, all_have_keys, 512, &waiting);
            assert_eq!(said, "the import broke off; run it again");
        }
    }

    #[test]
    fn a_summary_says_what_was_done_and_how_fast() {
        let tally = Tally { rows: 3_000, booked: 2_000, there: 990, refused: 10 };
        assert_eq!(
            summary(tally, 1_500, false),
            "3000 rows: 2000 done, 990 already there, 10 refused; 1.5 s, 2000 rows/s\n"
        );
        assert!(summary(Tally::default(), 0, true).contains("nothing was written"));
    }
}
