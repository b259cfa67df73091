//! What the OpenAPI document says of all calls alike: the frame around them, and the problems
//! that a call's shape implies.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, ResponseBuilder, Schema,
};

use crate::problem::{Code, Language, Problem};

/// The document without any call.
pub(super) fn frame() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token from `POST /v1/tokens`, or the secret of an API key."));
    let components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer.build()))
        .schema("Problem", problem())
        .build();
    let licence = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Tongjang")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Accounts whose balance and history cannot disagree. Amounts are whole numbers of the \
             currency's minor unit; times are RFC 3339. Errors are problems (RFC 9457), in Korean \
             to whom prefers it.",
        ))
        .license(Some(licence.build()));
    OpenApiBuilder::new().info(info.build()).components(Some(components)).build()
}

/// The document with the problems that each call can be answered with.
pub(super) fn finished(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let private = path.starts_with("/v1/");
        let reads = [&mut item.get, &mut item.head, &mut item.options].map(|of| (of, true));
        let changes = [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for (operation, only_reads) in reads.into_iter().chain(changes.map(|of| (of, false))) {
            let Some(operation) = operation else { continue };
            let mut codes = own_problems(operation, path);
            if private {
                codes.extend(implied_problems(operation));
            }
            add_problems(operation, codes, only_reads);
        }
    }
    document
}

/// The codes that the call names itself, which are taken out of the document again.
fn own_problems(operation: &mut Operation, path: &str) -> Vec<Code> {
    let Some(extensions) = &mut operation.extensions else { return Vec::new() };
    let named = extensions.remove("x-problems");
    if extensions.is_empty() {
        operation.extensions = None;
    }
    let named = named.as_ref().and_then(|codes| codes.as_array()).into_iter().flatten();
    named
        .map(|name| {
            let code = name.as_str().and_then(Code::parse);
            code.unwrap_or_else(|| panic!("{path} documents {name}, which is no code"))
        })
        .collect()
}

fn implied_problems(operation: &Operation) -> Vec<Code> {
    // A parameter that the call does not know is refused by every one.
    let mut codes =
        vec![Code::InvalidRequest, Code::NotAcceptable, Code::Internal, Code::StoreUnavailable];
    if operation.security.as_ref().is_some_and(|security| !security.is_empty()) {
        codes.extend([Code::Unauthenticated, Code::NotPermitted]);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::MalformedJson, Code::BodyTooLarge, Code::UnsupportedMediaType]);
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        match parameter.parameter_in {
            ParameterIn::Path => codes.push(Code::NotFound),
            ParameterIn::Header if parameter.name.eq_ignore_ascii_case("idempotency-key") => {
                codes.extend([Code::InvalidIdempotencyKey, Code::IdempotencyKeyReused]);
                codes.extend([Code::Overloaded, Code::ShuttingDown]);
            }
            _ => {}
        }
    }
    codes
}

/// A response a status, with an example a code.
fn add_problems(operation: &mut Operation, mut codes: Vec<Code>, only_reads: bool) {
    codes.sort_unstable();
    codes.dedup();
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
        let examples = codes.iter().map(|code| {
            let problem = Problem::new(*code);
            let problem = if only_reads { problem.nothing_changed() } else { problem };
            let value = json!(problem.in_language(Language::En));
            let example = utoipa::openapi::example::ExampleBuilder::new().value(Some(value));
            (code.as_str(), example.build())
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .examples_from_iter(examples);
        let response = ResponseBuilder::new()
            .description(names.join(", "))
            .content("application/problem+json", content.build());
        operation.responses.responses.insert(status.to_string(), response.build().into());
    }
}

fn problem() -> Schema {
    let text = |about: &str| {
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(about))
    };
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let error = ObjectBuilder::new()
        .property(
            "pointer",
            text("A JSON pointer (RFC 6901) into the body, or `/name` of a parameter or header"),
        )
        .property("detail", text("What is wrong there"))
        .required("pointer")
        .required("detail");
    ObjectBuilder::new()
        .description(Some("A problem (RFC 9457). Further members depend on the code."))
        .property("type", text("The page about this code, `/problems/<code>`"))
        .property("title", text("What it is called, in the caller's language"))
        .property("status", ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)))
        .property("detail", text("What happened, in the caller's language"))
        .property("code", text("What to act upon").enum_values(Some(codes)))
        .property("errors", ArrayBuilder::new().items(error))
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .required("code")
        .into()
}
