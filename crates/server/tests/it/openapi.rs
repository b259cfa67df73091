//! The OpenAPI document: kept as a snapshot, and sound in itself.

use std::collections::HashSet;
use std::process::Command;

use serde_json::Value;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::to_value(tongjang_server::api::document()).unwrap()
}

/// Every call of the document: its method, path and description.
pub(crate) fn calls(document: &Value) -> Vec<(String, String, &Value)> {
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(call) = item.get(method) {
                calls.push((method.to_uppercase(), path.clone(), call));
            }
        }
    }
    calls
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Calls `visit` on `value` and all within it.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
        _ => {}
    }
}

#[test]
fn the_document_changes_only_on_purpose() {
    let mut document = document();
    document["info"]["version"] = "the version".into();
    insta::assert_json_snapshot!(document);
}

#[test]
fn a_validator_finds_the_document_to_be_openapi_3_1() {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    serde_json::to_writer(&file, &document()).unwrap();
    match Command::new("openapi-spec-validator").arg(file.path()).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => eprintln!("openapi-spec-validator (PyPI) is not installed: not validated"),
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut used = HashSet::new();
    walk(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("all within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            used.insert(reference.rsplit('/').next().unwrap());
        }
    });
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(name.as_str()), "nothing uses the schema {name}");
    }
}

#[test]
fn a_default_or_example_is_of_its_schemas_type() {
    let document = document();
    walk(&document, &mut |schema| {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let examples = list(schema, "examples");
        for value in schema.get("default").into_iter().chain(schema.get("example")).chain(examples)
        {
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            assert!(types.contains(&kind), "{value} is not {types:?}");
        }
    });
}

#[test]
fn every_call_has_a_name_a_summary_its_parameters_and_examples() {
    let document = document();
    let mut names = HashSet::new();
    for (method, path, call) in calls(&document) {
        let name = call["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
        assert!(names.insert(name), "{name} names two calls");
        let summary = call["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{name} has no summary");
        assert_eq!(list(call, "tags").count(), 1, "{name} stands under one heading");

        let declared: Vec<&str> = list(call, "parameters")
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_path: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(declared, in_path, "{name}");
        for parameter in list(call, "parameters") {
            assert!(parameter["description"].is_string(), "{name}: {parameter}");
            assert_eq!(parameter["required"], parameter["in"] == "path", "{name}: {parameter}");
        }
        for (status, answer) in call["responses"].as_object().unwrap() {
            assert!(answer["description"].is_string(), "{name} {status}");
            let problem = answer.pointer("/content/application~1problem+json/examples");
            assert_eq!(problem.is_some(), status >= &"400".to_owned(), "{name} {status}");
        }
        if path.starts_with("/v1/") {
            let open = ["signUp", "logIn"].contains(&name);
            assert_eq!(call["responses"].get("401").is_some(), !open || name == "logIn", "{name}");
        }
        if let Some(body) = call.pointer("/requestBody/content/application~1json/schema") {
            assert!(has_example(&document, body), "{name}'s body has no example");
        }
    }
}

#[test]
fn what_may_be_left_out_is_not_required_and_what_is_unknown_is_refused() {
    let document = document();
    walk(&document, &mut |schema| {
        let Some(members) = schema.get("properties").and_then(Value::as_object) else { return };
        for name in list(schema, "required").filter_map(Value::as_str) {
            let default = members.get(name).and_then(|member| member.get("default"));
            assert!(default.is_none(), "{name} has a default and is required: {schema}");
        }
    });
    for (method, path, call) in calls(&document) {
        for (kind, content) in call["requestBody"]["content"].as_object().into_iter().flatten() {
            assert_closed(&document, &content["schema"], &format!("{method} {path} {kind}"));
        }
    }
}

/// Insists that the objects of a body are closed: the server refuses each member that it does not
/// know.
fn assert_closed(document: &Value, schema: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return assert_closed(document, document.pointer(&reference[1..]).unwrap(), place);
    }
    for one in list(schema, "oneOf").chain(list(schema, "allOf")) {
        assert_closed(document, one, place);
    }
    if let Some(items) = schema.get("items") {
        assert_closed(document, items, place);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        assert_eq!(schema["additionalProperties"], false, "{place}: {schema}");
        assert_closed(document, member, &format!("{place}/{name}"));
    }
}

/// Whether an example stands with the schema or with each of its members.
fn has_example(document: &Value, schema: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return has_example(document, document.pointer(&reference[1..]).unwrap());
    }
    if schema.get("example").or(schema.get("examples")).is_some() || schema.get("enum").is_some() {
        return true;
    }
    match schema["properties"].as_object() {
        Some(members) => members.values().all(|member| has_example(document, member)),
        None => schema.get("items").is_some_and(|items| has_example(document, items)),
    }
}
