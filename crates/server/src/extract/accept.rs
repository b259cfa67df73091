//! Whether a caller takes JSON, or lines of it, for an answer (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

use crate::problem::language::weighted;

/// Whether `Accept` admits `application/json`; no header admits everything.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    accepts(headers, "application/json")
}

/// The same for `application/x-ndjson`.
pub(crate) fn accepts_ndjson(headers: &HeaderMap) -> bool {
    accepts(headers, "application/x-ndjson")
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut given = false;
    // The most specific range that fits decides: (specificity, weight).
    let mut best = (0u8, 0u16);
    for value in headers.get_all(header::ACCEPT) {
        let Ok(value) = value.to_str() else { continue };
        for range in value.split(',').filter(|range| !range.trim().is_empty()) {
            given = true;
            let (name, weight) = weighted(range);
            let specificity = match name.to_ascii_lowercase().as_str() {
                exactly if exactly == media_type => 3,
                "application/*" => 2,
                "*/*" => 1,
                _ => continue,
            };
            best = best.max((specificity, weight));
        }
    }
    !given || best.1 > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_given_to_whom_takes_it() {
        for (header, expected) in [
            ("application/json", true),
            ("text/html, application/xhtml+xml, */*;q=0.8", true),
            ("application/*;q=0.1", true),
            ("APPLICATION/JSON", true),
            ("application/json;q=0, */*", false),
            ("text/html", false),
            ("application/json;q=0", false),
            ("", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, header.parse().unwrap());
            assert_eq!(accepts_json(&headers), expected, "{header}");
            let lines = header.to_lowercase().replace("application/json", "application/x-ndjson");
            headers.insert(header::ACCEPT, lines.parse().unwrap());
            assert_eq!(accepts_ndjson(&headers), expected, "{lines}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }
}
