//! The archivist writes full windows as runs and merges runs, beside the teller and never in
//! his way.
//!
//! In a server a thread does so; while a journal is read back, and in simulations, whoever has
//! the index does it himself between two batches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::merge::{due, merge};
use super::run::Run;
use super::run_writer::{Halt, PIECE, Pace, RunWriter};
use super::shelf::Shelf;
use super::window::Frozen;
use crate::StoreError;
use crate::journal::book::Durable;

/// After every whole piece the thread rests, so that the journal's syncs come through.
const REST: Duration = Duration::from_millis(3);

/// Who writes runs, and all there are, the oldest first.
pub(super) struct Archivist {
    shelf: Arc<Shelf>,
    pub(super) runs: Vec<Arc<Run>>,
    /// Those that are damaged. They are not merged, as that would fail again and again.
    unreadable: BTreeSet<u64>,
    /// Those that were merged. They are in use until the teller has the merged one: the snapshot
    /// that he begins next names what he has.
    merged: Vec<u64>,
}

impl Archivist {
    pub(super) fn new(shelf: Arc<Shelf>, runs: Vec<Arc<Run>>) -> Self {
        Self { shelf, runs, unreadable: BTreeSet::new(), merged: Vec::new() }
    }

    /// Writes `frozen` as the newest run. All of it must be durable in the journal.
    pub(super) fn seal(&mut self, frozen: &Frozen, pace: Pace<'_>) -> Result<(), Halt> {
        let shelf = self.shelf.clone();
        let run = write(&shelf, |number| {
            let (range, count) = ((frozen.from, frozen.until), frozen.window.len() as u64);
            let mut writer = RunWriter::begin(&shelf, number, range, count, pace)?;
            for entry in frozen.window.sorted() {
                writer.push(entry)?;
            }
            writer.finish()
        })?;
        self.runs.push(run);
        Ok(())
    }

    /// The runs that are to become one now, if any.
    fn due(&self) -> Option<Vec<Arc<Run>>> {
        // What cannot be read parts its neighbours.
        let readable = |run: &Arc<Run>| !self.unreadable.contains(&run.name().number);
        self.runs.chunk_by(|one, two| readable(one) == readable(two)).find_map(|runs| {
            let counts: Vec<u64> = runs.iter().map(|run| run.header().count).collect();
            let range = due(&counts, self.shelf.config.window as u64)?;
            readable(&runs[0]).then(|| runs[range].to_vec())
        })
    }

    /// Puts `merged` in the place of those that it holds.
    fn replace(&mut self, old: &[Arc<Run>], merged: Arc<Run>) {
        let first = old[0].name();
        let start = self.runs.iter().position(|run| run.name() == first);
        let start = start.expect("runs that are being merged stay where they are");
        self.runs.splice(start..start + old.len(), [merged]);
        self.merged.extend(old.iter().map(|run| run.name().number));
    }

    /// All runs, and those that whoever takes these over has to let go.
    pub(super) fn hand_over(&mut self) -> Runs {
        Runs { all: self.runs.clone(), merged: std::mem::take(&mut self.merged) }
    }

    /// Takes note that `runs` could not be merged, and says so. What a disk failed at may go
    /// another time; what is damaged will not.
    fn give_up(&mut self, runs: &[Arc<Run>], error: &StoreError) {
        tracing::warn!(%error, "runs of idempotency keys were not merged");
        if matches!(error, StoreError::Corrupt { .. }) {
            self.unreadable.extend(runs.iter().map(|run| run.name().number));
        }
    }

    /// Merges until nothing is due, or something fails.
    pub(super) fn merge_all(&mut self) {
        while let Some(runs) = self.due() {
            let shelf = self.shelf.clone();
            match write(&shelf, |number| merge(&shelf, number, &runs, &mut |_| Ok(()))) {
                Ok(merged) => self.replace(&runs, merged),
                Err(Halt::Stopped) => return,
                Err(Halt::Failed(error)) => return self.give_up(&runs, &error),
            }
        }
    }
}

/// Has `make` write a run under a new number, and leaves nothing behind if it does not.
fn write(shelf: &Shelf, make: impl FnOnce(u64) -> Result<Run, Halt>) -> Result<Arc<Run>, Halt> {
    let number = shelf.reserve()?;
    make(number).map(Arc::new).inspect_err(|_| {
        shelf.let_go(number);
        // What cannot be removed now is swept at the next snapshot.
        for path in [shelf.temporary(number), shelf.path(number)] {
            if shelf.disk.exists(&path).unwrap_or(false) {
                let _ = shelf.disk.remove(&path);
            }
        }
    })
}

/// What the archivist's thread is told.
enum Job {
    /// Write this as a run.
    Seal(Arc<Frozen>),
    /// Nobody looks at these any more. To give back so much memory takes the time of many
    /// requests, so the teller leaves it to this thread.
    Drop(Vec<Arc<Run>>, Option<Arc<Frozen>>),
}

/// The runs as they are now.
pub(super) struct Runs {
    /// The oldest first.
    pub(super) all: Vec<Arc<Run>>,
    /// The numbers of those that were merged since the last time.
    pub(super) merged: Vec<u64>,
}

/// What the archivist's thread tells.
pub(super) enum News {
    /// There is a new run.
    Runs(Runs),
    /// The window that was to be sealed was not.
    NotSealed,
}

/// The archivist's thread. It ends when this is dropped.
pub(super) struct ArchivistThread {
    jobs: Option<Sender<Job>>,
    news: Receiver<News>,
    stop: Arc<AtomicBool>,
    /// The thread may be waiting for this.
    durable: Arc<Durable>,
    thread: Option<JoinHandle<()>>,
}

impl ArchivistThread {
    /// Lets `archivist` work by itself. A window is only sealed once `durable` says so.
    pub(super) fn start(archivist: Archivist, durable: Arc<Durable>) -> Result<Self, StoreError> {
        let (jobs, asked) = unbounded();
        let (tell, news) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let dir = archivist.shelf.dir.clone();
        let (awaited, stopped) = (durable.clone(), stop.clone());
        let mut worker = Worker { archivist, durable: awaited, asked, tell, stop: stopped };
        let thread = std::thread::Builder::new()
            .name("archivist".into())
            .spawn(move || worker.run())
            .map_err(|source| StoreError::io("start a thread for", dir, source))?;
        Ok(Self { jobs: Some(jobs), news, stop, durable, thread: Some(thread) })
    }

    /// Hands over a window to be sealed.
    pub(super) fn seal(&self, frozen: Arc<Frozen>) {
        self.send(Job::Seal(frozen));
    }

    /// Hands over what is to be dropped.
    pub(super) fn drop_later(&self, runs: Vec<Arc<Run>>, frozen: Option<Arc<Frozen>>) {
        self.send(Job::Drop(runs, frozen));
    }

    fn send(&self, job: Job) {
        // If the thread is gone, the window grows, and the next start seals it.
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_err()) {
            tracing::error!("nobody writes idempotency keys to runs any more; restart the server");
        }
    }

    /// What was told since the last time.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.news.try_iter()
    }

    /// Ends the thread, in the middle of a run if it is at one. Its last news can still be had.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Relaxed);
        self.durable.wake();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the thread itself; what was not sealed is still here.
            let _ = thread.join();
        }
    }
}

impl Drop for ArchivistThread {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    archivist: Archivist,
    durable: Arc<Durable>,
    asked: Receiver<Job>,
    tell: Sender<News>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(&mut self) {
        // A start may find runs to be merged.
        self.merge_all();
        while let Ok(job) = self.asked.recv() {
            if self.stop.load(Relaxed) {
                break;
            }
            self.serve(job);
            self.merge_all();
        }
    }

    fn serve(&mut self, job: Job) {
        let frozen = match job {
            Job::Seal(frozen) => frozen,
            Job::Drop(runs, frozen) => return drop((runs, frozen)),
        };
        let stop = self.stop.clone();
        let sealed = match self.durable.wait_unless(&stop, frozen.until) {
            Ok(true) => self.archivist.seal(&frozen, &mut |bytes| rest(&stop, bytes)),
            Ok(false) => Err(Halt::Stopped),
            Err(error) => Err(Halt::from(error)),
        };
        match sealed {
            Ok(()) => self.tell_runs(),
            Err(Halt::Stopped) => {}
            Err(Halt::Failed(error)) => {
                not_sealed(&error);
                self.tell(News::NotSealed);
            }
        }
    }

    /// Merges while there is something to merge, and serves windows in between.
    fn merge_all(&mut self) {
        while let Some(runs) = self.archivist.due() {
            let shelf = self.archivist.shelf.clone();
            let merged = write(&shelf, |number| {
                merge(&shelf, number, &runs, &mut |bytes| {
                    while let Ok(job) = self.asked.try_recv() {
                        self.serve(job);
                    }
                    rest(&self.stop, bytes)
                })
            });
            match merged {
                Ok(merged) => {
                    self.archivist.replace(&runs, merged);
                    self.tell_runs();
                }
                Err(Halt::Stopped) => return,
                Err(Halt::Failed(error)) => return self.archivist.give_up(&runs, &error),
            }
        }
    }

    fn tell_runs(&mut self) {
        let runs = self.archivist.hand_over();
        self.tell(News::Runs(runs));
    }

    fn tell(&self, news: News) {
        // Nobody may be there any more to hear it.
        let _ = self.tell.send(news);
    }
}

/// Says that a window stays in memory.
pub(super) fn not_sealed(error: &StoreError) {
    tracing::warn!(%error, "idempotency keys were not written to a run and stay in memory");
}

fn rest(stop: &AtomicBool, bytes: usize) -> Result<(), Halt> {
    if stop.load(Relaxed) {
        return Err(Halt::Stopped);
    }
    if bytes >= PIECE {
        std::thread::sleep(REST);
    }
    Ok(())
}
