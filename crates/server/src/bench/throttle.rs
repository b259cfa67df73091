//! A server that has only a share of the processors' time, for measurements on one machine: it is
//! stopped and let go on in turn. The limit is made, not real.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// How long it takes from one stop to the next. What a stopped server has locked in the database
/// is locked for most of it at worst.
const TURN: Duration = Duration::from_millis(10);

/// Holds a server back; lets it go when dropped, which has to be before the server's end.
pub(crate) struct Throttle {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// Lets the process `pid` run for `percent` of the time.
    pub(crate) fn on(pid: u32, percent: u64) -> anyhow::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process id")?;
        let run = TURN * u32::try_from(percent)? / 100;
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("throttle".into()).spawn(move || {
            let wait = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            // A server that has ended is found out by whoever asks it.
            let tell = |signal| _ = kill_process(pid, signal);
            while wait(run) {
                tell(Signal::STOP);
                wait(TURN.saturating_sub(run));
                tell(Signal::CONT);
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_that_was_held_back_goes_on() {
        let mut echo =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (echo.stdin.take().unwrap(), echo.stdout.take().unwrap());
        let mut answers = |word: &[u8; 4]| {
            to.write_all(word).unwrap();
            let mut back = [0; 4];
            from.read_exact(&mut back).unwrap();
            assert_eq!(&back, word);
        };
        let throttle = Throttle::on(echo.id(), 30).unwrap();
        answers(b"slow");
        drop(throttle);
        answers(b"fast");
        drop(to);
        assert!(echo.wait().unwrap().success());
    }
}
