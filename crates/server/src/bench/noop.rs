//! POSTs that do nothing: the limit of HTTP on this machine, on axum and hyper as the server is.

use std::io::Write;

use axum::routing::post;

/// What a no-op POST answers: as long as the answer to a deposit.
const ANSWER: &str = include_str!("answer.json");

/// Serves them until this process is killed.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let handler = |body: axum::body::Bytes| async move {
            std::hint::black_box(body);
            let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
            (axum::http::StatusCode::CREATED, json, ANSWER)
        };
        let router = axum::Router::new().route("/v1/accounts/{id}/deposits", post(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // A connection that takes no options is slower, and that is all.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}
