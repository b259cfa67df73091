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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_to_pieces_and_decoded() {
        let url = "postgres://m%40x:p%2Fw%25:1@db1,[fe80::1]:6000,db2:7000/le%20dger\
                   ?sslrootcert=%2Fetc%2Fa%26b.pem&options=-c%20a=b&";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.user.as_deref(), Some("m@x"));
        assert_eq!(address.password.as_deref(), Some("p/w%:1"));
        let hosts = [("db1", None), ("fe80::1", Some(6000)), ("db2", Some(7000))];
        assert_eq!(address.hosts, hosts.map(|(name, port)| (name.to_owned(), port)));
        assert_eq!(address.database.as_deref(), Some("le dger"));
        let parameters: Vec<(&str, &str)> = address
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(parameters, [("options", "-c a=b"), ("sslrootcert", "/etc/a&b.pem")]);
    }

    #[test]
    fn what_is_left_out_stays_open() {
        let address = Address::parse("postgresql:///?host=/run/postgresql").unwrap();
        assert!(address.user.is_none() && address.password.is_none());
        assert!(address.hosts.is_empty() && address.database.is_none());
        assert_eq!(address.parameters["host"], "/run/postgresql");
        assert!(Address::parse("postgres://").unwrap().hosts.is_empty());
        let socket = Address::parse("postgres://%2Frun%2Fpg:5433/x").unwrap();
        assert_eq!(socket.hosts, [("/run/pg".to_owned(), Some(5433))]);
        // An empty password is one, an empty user name is none.
        let address = Address::parse("postgres://:@h/x").unwrap();
        assert_eq!((address.user, address.password.as_deref()), (None, Some("")));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_was_written() {
        let cases = [
            ("mysql://h/x", "does not begin"),
            ("host=h dbname=hush", "does not begin"),
            ("postgres://u:hu/sh@h/x", "an `@` stands"),
            ("postgres://u:hu?sh@h/x", "an `@` stands"),
            ("postgres://u:hu@sh@h/x", "an `@` stands"),
            ("postgres://u:1/sh?a=b@h/x", "an `@` stands"),
            ("postgres://u:hush%@h/x", "in the password a `%`"),
            ("postgres://u:hush%4@h/x", "in the password a `%`"),
            ("postgres://u:hush%+4@h/x", "in the password a `%`"),
            ("postgres://u:hush%00@h/x", "in the password a `%`"),
            ("postgres://u:hush%FF@h/x", "the password is no UTF-8"),
            ("postgres://u%zz:hush@h/x", "in the user name a `%`"),
            ("postgres://h:hush/x", "a port is no number"),
            ("postgres://h:0/x", "a port is no number"),
            ("postgres://h:65536/x", "a port is no number"),
            ("postgres://h:-1/x", "a port is no number"),
            ("postgres://[::1/x", "no `]`"),
            ("postgres://[::1]hush/x", "between the `]`"),
            ("postgres://a,,b/x", "a host has no name"),
            ("postgres://:5432/x", "a host has no name"),
            ("postgres://h/x?hush", "has no `=`"),
            ("postgres://h/x?sslmode=hush&sslmode=disable", "`sslmode` is given twice"),
            ("postgres://h/x?sslmode=hush&ssl%6Dode=disable", "`sslmode` is given twice"),
        ];
        for (url, expected) in cases {
            let told = Address::parse(url).map(drop).expect_err(url);
            assert!(told.contains(expected), "{url}: {told}");
            assert!(!told.contains("hu") && !told.contains("sh@"), "{url}: {told}");
        }
    }
}
