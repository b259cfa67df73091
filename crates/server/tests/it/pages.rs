//! Health, metrics, the API's document and the pages for people.

use std::collections::BTreeSet;

use tongjang_server::problem::Code;

use crate::app::{TestApp, answer};

#[tokio::test]
async fn it_is_alive_and_ready() {
    let app = TestApp::start().await;
    assert_eq!(app.get(None, "/healthz").await.expect(200)["status"], "ok");
    assert_eq!(app.get(None, "/readyz").await.expect(200)["status"], "ok");
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_not_by_path() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    app.delete(Some(&token), "/v1/api-keys/key_secret").await.problem(404, "not-found");
    app.get(None, "/nowhere/at/all").await.problem(404, "not-found");
    let metrics = app.get(None, "/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "tongjang_http_requests_total{route=\"/v1/users\",method=\"POST\",status=\"201\"} 1",
        r#"tongjang_http_requests_total{route="/v1/api-keys/{id}",method="DELETE",status="404"} 1"#,
        "tongjang_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"} 1",
        "tongjang_http_request_seconds_count{route=\"/v1/users\"} 1",
        "tongjang_rejections_total{code=\"insufficient-funds\"} 0",
        "tongjang_teller_queue 0",
    ] {
        assert!(metrics.text.contains(line), "no {line} in\n{}", metrics.text);
    }
    assert!(!metrics.text.contains("key_secret"));
}

#[tokio::test]
async fn the_document_names_every_call_and_its_problems() {
    let app = TestApp::start().await;
    let document = app.get(None, "/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let login = &document["paths"]["/v1/tokens"]["post"]["responses"];
    assert_eq!(login["429"]["description"], "`rate-limited`");
    let schema = &login["401"]["content"]["application/problem+json"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/Problem");
    assert!(!document.to_string().contains("x-problems"));
}

#[tokio::test]
async fn the_documentation_asks_no_other_server() {
    let app = TestApp::start().await;
    let page = app.get(None, "/docs/").await;
    assert_eq!(page.status, 200);
    for script in ["swagger-ui-bundle.js", "swagger-initializer.js", "swagger-ui.css"] {
        assert!(page.text.contains(script), "{script}");
        assert_eq!(app.get(None, &format!("/docs/{script}")).await.status, 200, "{script}");
    }
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    let start = app.get(None, "/docs/swagger-initializer.js").await;
    assert!(start.text.contains("/openapi.json"), "{}", start.text);
}

#[tokio::test]
async fn every_problem_has_a_page_in_both_languages() {
    let app = TestApp::start().await;
    let index = app.get(None, "/problems").await;
    for code in Code::ALL {
        let name = code.as_str();
        assert!(index.text.contains(&format!("/problems/{name}")), "{name}");
        let path = format!("/problems/{name}");
        let english = app.get(None, &path).await;
        assert_eq!((english.status.as_u16(), english.header("content-language")), (200, "en"));
        let korean = app.request(reqwest::Method::GET, &path).header("accept-language", "ko");
        let korean = answer(korean).await;
        assert!(korean.text.contains("<html lang=\"ko\">"));
        assert_ne!(english.text, korean.text);
    }
    app.get(None, "/problems/none").await.problem(404, "not-found");
}

/// The table of the documentation is made from the code; `TONGJANG_BLESS=1` writes it anew.
#[test]
fn the_table_of_errors_is_that_of_the_code() {
    let mut table = String::from(
        "# Errors\n\nEvery answer that is no success is a problem (RFC 9457) with one of these \
         codes. The server\nanswers a page about each under `/problems/<code>`, in English and \
         Korean. This table is made from\nthe code by a test.\n\n\
         `POST /v1/batches` answers 200 once it has looked at the commands, whatever came of \
         them: a refusal\nis in the outcome of its command, as `status` and `problem`. Another \
         status is that of the whole\ncall, and nothing of it was booked, but after \
         `store-unavailable` and `internal`, when that\nis not known.\n\n\
         | status | code | title | 제목 | what it means |\n| --- | --- | --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let (title, meaning) = (code.title(), code.meaning());
        let (status, name) = (code.status().as_u16(), code.as_str());
        let row = [&title.en, &title.ko, &meaning.en].map(|text| text.replace('|', "\\|"));
        table.push_str(&format!("| {status} | `{name}` | {} |\n", row.join(" | ")));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    if std::env::var_os("TONGJANG_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, table, "run this test with TONGJANG_BLESS=1");
}

/// The codes are part of the contract: one that goes away breaks a caller.
#[test]
fn the_codes_are_those_of_the_contract() {
    let codes: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("{} {}", code.status().as_u16(), code.as_str()))
        .collect();
    insta::assert_snapshot!(codes.join("\n"));
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
}
