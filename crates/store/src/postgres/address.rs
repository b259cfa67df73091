//! A database's URL taken to pieces, as PostgreSQL's own programs read it, but more strictly.
//!
//! What is wrong is told without repeating what was written: a password with a `/` in it is easily
//! taken for something else.

use std::collections::BTreeMap;

/// The pieces, percent-decoded.
#[derive(Default)]
pub(super) struct Address {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Each with the port that stands beside it.
    pub(super) hosts: Vec<(String, Option<u16>)>,
    pub(super) database: Option<String>,
    /// What follows the `?`.
    pub(super) parameters: BTreeMap<String, String>,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or("it does not begin with `postgres://` or `postgresql://`")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        // Before anything is repeated: it could be the rest of a password.
        if rest.contains('@') || login.is_some_and(|login| login.contains('@')) {
            return Err("an `@` stands where none may: in a user name, password or parameter \
                        write `@` as %40, `/` as %2F, `?` as %3F, `:` as %3A and `%` as %25"
                .into());
        }
        let mut address = Self::default();
        if let Some(login) = login {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            address.user = some(decode(user, "the user name")?);
            address.password =
                password.map(|password| decode(password, "the password")).transpose()?;
        }
        if !hosts.is_empty() {
            address.hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        address.database = some(decode(path, "the name of the database")?);
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or("a parameter after the `?` has no `=`")?;
            let name = decode(name, "the name of a parameter")?;
            let value = decode(value, "the value of a parameter")?;
            if address.parameters.contains_key(&name) {
                return Err(format!("the parameter `{}` is given twice", name.escape_debug()));
            }
            address.parameters.insert(name, value);
        }
        Ok(address)
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// `name`, `name:port`, `[address]`, `[address]:port`, or a socket's folder percent-encoded.
fn host(text: &str) -> Result<(String, Option<u16>), String> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or("a host begins with `[` and has no `]`")?;
        let port = rest.strip_prefix(':');
        if port.is_none() && !rest.is_empty() {
            return Err("something stands between the `]` of a host and its port".into());
        }
        (name, port)
    } else {
        match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    let name = decode(name, "a host")?;
    if name.is_empty() {
        return Err("a host has no name".into());
    }
    Ok((name, port.filter(|port| !port.is_empty()).map(port_number).transpose()?))
}

/// The number of a port.
pub(super) fn port_number(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| *number != 0);
    number.ok_or_else(|| "a port is no number from 1 to 65535".into())
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| *byte != 0)
            .ok_or_else(|| {
                format!("in {what} a `%` is followed by no two hex digits (write `%` as %25)")
            })?;
        bytes.push(byte);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("{what} is no UTF-8"))
}
