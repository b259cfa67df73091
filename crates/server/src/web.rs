//! Pages for people: what each problem means, and the API's documentation.

mod problem_pages;

use axum::Router;
use axum::http::header;
use axum::response::Redirect;
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::app::AppState;

/// The pages, and the routes by which their requests are counted.
pub(crate) fn router(document: &OpenApi) -> (Router<AppState>, Vec<String>) {
    let json = document.to_pretty_json().expect("a document made here can be written as JSON");
    let json: axum::body::Bytes = json.into();
    let document = move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    };
    // The files of Swagger UI are part of the program: no page asks another server for anything.
    let ui = SwaggerUi::new("/docs").config(Config::new(["/openapi.json"]).validator_url("none"));
    let router = Router::new()
        // Who opens the printed address in a browser wants to see what can be called.
        .route("/", get(|| async { Redirect::temporary("/docs/") }))
        .route("/openapi.json", get(document))
        .route("/problems", get(problem_pages::all))
        .route("/problems/{code}", get(problem_pages::one))
        .merge(ui);
    let routes =
        ["/", "/openapi.json", "/problems", "/problems/{code}", "/docs", "/docs/", "/docs/{*file}"];
    (router, routes.map(str::to_owned).to_vec())
}
