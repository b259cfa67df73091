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

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn one_newline_at_the_end_is_no_part_of_a_password() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"pw", b"pw"),
            (b"pw\n", b"pw"),
            (b"pw\r\n", b"pw"),
            (b"pw\n\n", b"pw\n"),
            (b" p w \xff", b" p w \xff"),
        ];
        for (content, password) in cases {
            let (_folder, path) = file(content, 0o640);
            assert_eq!(read_file(&path).unwrap(), password, "{content:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_one_is_refused_with_its_name() {
        let long = vec![b'x'; 4097];
        let cases: [(&[u8], u32, &str); 6] = [
            (b"pw", 0o644, "its mode is 0644"),
            (b"pw", 0o602, "its mode is 0602"),
            (b"pw", 0o601, "its mode is 0601"),
            (b"", 0o600, "it is empty"),
            (b"\n", 0o600, "it is empty"),
            (&long, 0o600, "it is longer than 4096 bytes"),
        ];
        for (content, mode, expected) in cases {
            let (_folder, path) = file(content, mode);
            let found = Passwords { file: Some(path.clone()), environment: None };
            let told = Password::choose(None, &found).map(drop).unwrap_err().to_string();
            assert!(told.contains(expected) && told.contains(path.to_str().unwrap()), "{told}");
        }
        let found = Passwords { file: Some("/nowhere/password".into()), environment: None };
        let told = Password::choose(None, &found).map(drop).unwrap_err().to_string();
        assert!(told.starts_with("cannot read the password in /nowhere/password: "), "{told}");
    }

    #[test]
    fn the_nearest_password_is_taken_and_two_are_refused() {
        let (_folder, path) = file(b"in-file\n", 0o400);
        let read = |url: Option<&str>, file: Option<&PathBuf>, environment: Option<&str>| {
            let found =
                Passwords { file: file.cloned(), environment: environment.map(str::to_owned) };
            assert!(!format!("{found:?}").contains("in-env"));
            let read = Password::choose(url.map(str::to_owned), &found)?.read()?;
            Ok::<_, StoreError>(read.map(|bytes| String::from_utf8(bytes).unwrap()))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(None, None, None).unwrap(), None);
        assert_eq!(read(None, None, Some("")).unwrap(), None);
        assert_eq!(read(None, None, Some("in-env")).unwrap(), some("in-env"));
        assert_eq!(read(None, Some(&path), Some("in-env")).unwrap(), some("in-file"));
        assert_eq!(read(Some("in-url"), None, Some("in-env")).unwrap(), some("in-url"));
        let told = read(Some("in-url"), Some(&path), None).unwrap_err().to_string();
        assert!(told.contains("a password file is given too") && !told.contains("in-"), "{told}");
    }
}
