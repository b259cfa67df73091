//! `/problems/<code>`: what the `type` of a problem points to.

use axum::response::{Html, IntoResponse, Response};

use crate::extract::Path;
use crate::problem::{Code, Language, Problem, Text};

const STYLE: &str = "body{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;\
padding:0 1rem;color:#1a1a1a;background:#fff}code{background:#f0f0f0;padding:.1em .3em;\
border-radius:.2em}dt{margin-top:1rem}a{color:#0b57d0}@media(prefers-color-scheme:dark)\
{body{color:#eee;background:#161616}code{background:#2a2a2a}a{color:#8ab4f8}}";

static ALL: Text = Text::fixed("All problems", "모든 오류");

/// One problem.
pub(super) async fn one(language: Language, path: Path<String>) -> Result<Response, Problem> {
    let code = Code::parse(&path.0).ok_or_else(|| Problem::new(Code::NotFound))?;
    let status = code.status();
    let (title, meaning) = (code.title(), code.meaning());
    let (title, meaning) = (title.get(language), marked(meaning.get(language)));
    let body = format!(
        "<h1>{title}</h1>\n<p><code>{}</code> · {status}</p>\n<p>{meaning}</p>\n\
         <p><a href=\"/problems\">{}</a></p>",
        code.as_str(),
        ALL.get(language),
    );
    Ok(page(language, title, &body))
}

/// All of them.
pub(super) async fn all(language: Language) -> Response {
    let rows: String = Code::ALL
        .iter()
        .map(|code| {
            let (name, title) = (code.as_str(), code.title());
            let title = title.get(language);
            let status = code.status().as_u16();
            format!(
                "<dt><a href=\"/problems/{name}\"><code>{name}</code></a> · {status}</dt>\
                 <dd>{title}</dd>\n"
            )
        })
        .collect();
    let title = ALL.get(language);
    page(language, title, &format!("<h1>{title}</h1>\n<dl>\n{rows}</dl>"))
}

fn page(language: Language, title: &str, body: &str) -> Response {
    let tag = language.tag();
    let html = format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} · Tongjang</title>\
         \n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    );
    let headers = [("content-language", tag), ("vary", "Accept-Language")];
    (headers, Html(html)).into_response()
}

/// `code` between backticks, as HTML. The texts are our own and hold no other markup.
fn marked(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = part.replace('&', "&amp;").replace('<', "&lt;");
        if place % 2 == 0 {
            html.push_str(&part);
        } else {
            html.push_str(&format!("<code>{part}</code>"));
        }
    }
    html
}
