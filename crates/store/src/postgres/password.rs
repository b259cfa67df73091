//! Where the password of a database comes from, and how it is kept out of every text.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Longer than any password; what is longer is another file, given by mistake.
const LONGEST: u64 = 4096;

/// What the caller found beside the URL.
#[derive(Clone, Default)]
pub struct Passwords {
    /// A file with the password and nothing else, but for one newline at the end.
    pub file: Option<PathBuf>,
    /// `PGPASSWORD` of the environment, used if neither the URL nor a file gives one.
    pub environment: Option<String>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let environment = self.environment.as_ref().map(|_| "…");
        f.debug_struct("Passwords")
            .field("file", &self.file)
            .field("environment", &environment)
            .finish()
    }
}

/// The one that is used.
#[derive(Clone)]
pub(super) enum Password {
    None,
    Given(Vec<u8>),
    InFile(PathBuf),
}

impl Password {
    /// The one in the URL or in the file, of which there may be one; else the environment's.
    pub(super) fn choose(url: Option<String>, found: &Passwords) -> Result<Self, StoreError> {
        match (url, &found.file, &found.environment) {
            (Some(_), Some(_), _) => Err(StoreError::Address {
                what: "a password stands in it, and a password file is given too".into(),
            }),
            (Some(given), None, _) => Ok(Self::Given(given.into_bytes())),
            (None, Some(file), _) => {
                let chosen = Self::InFile(file.clone());
                // Read once now, so that a mistake is told at the start.
                chosen.read()?;
                Ok(chosen)
            }
            (None, None, Some(given)) if !given.is_empty() => {
                Ok(Self::Given(given.clone().into_bytes()))
            }
            (None, None, _) => Ok(Self::None),
        }
    }

    /// The password for a new connection. A file is read each time: it may have been replaced.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::None => Ok(None),
            Self::Given(given) => Ok(Some(given.clone())),
            Self::InFile(path) => match read_file(path) {
                Ok(password) => Ok(Some(password)),
                Err(source) => Err(StoreError::io("read the password in", path, source)),
            },
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let mode = file.metadata()?.mode();
    if mode & 0o007 != 0 {
        return refused(format!(
            "its mode is {:04o}, so that every user of this machine gets at it; take that away \
             with `chmod o=`",
            mode & 0o7777
        ));
    }
    let mut password = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut password)?;
    if password.ends_with(b"\n") {
        password.pop();
        if password.ends_with(b"\r") {
            password.pop();
        }
    }
    if password.len() as u64 > LONGEST {
        return refused(format!("it is longer than {LONGEST} bytes"));
    }
    if password.is_empty() {
        return refused("it is empty".into());
    }
    Ok(password)
}
