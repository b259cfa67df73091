//! Processes by their id: signals, children, and whether one is really gone.

use std::fs;

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// The user and the group that the server runs as: `None` stands for our own. PostgreSQL refuses
/// to run as root, so root lends it another one's.
pub(crate) fn account() -> Option<(u32, u32)> {
    geteuid().is_root().then(|| {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| listed(&users, name))
            .unwrap_or((65534, 65534))
    })
}

fn listed(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = users.lines().map(|line| line.split(':'));
    let mut fields = fields.find(|fields| fields.clone().next() == Some(name))?.skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Sends `signal`; whether there was somebody to get it.
pub(crate) fn signal(id: u32, signal: Signal) -> bool {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| kill_process(id, signal).is_ok())
}

/// Whose process `parent` is the parent.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| state(*id).is_some_and(|(_, above)| above == parent))
        .collect()
}

/// Whether it has ended; one that nobody has waited for yet has, too.
pub(crate) fn gone(id: u32) -> bool {
    state(id).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

/// The letter of its state, and its parent.
fn state(id: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands before, in brackets, and may have any letter in it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_is_seen_until_it_has_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        assert!(!gone(child.id()));
        assert!(signal(child.id(), Signal::KILL));
        child.wait().unwrap();
        assert!(gone(child.id()));
    }

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "postgresql:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(listed(users, "postgres"), Some((101, 104)));
        assert_eq!(listed(users, "nobody"), None);
    }
}
