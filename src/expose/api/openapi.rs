//! `/openapi.json`: the endpoints, as OpenAPI 3.1 has them, made of the rows that requests are
//! checked against.

use std::sync::OnceLock;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::acts::{self, Act};
use super::endpoints::{ALL, Endpoint, Verb};
use super::params::{Kind, Param};
use super::problem::{PROBLEM_TYPE, Problem};
use super::{Answered, Api, Params};

/// Where schemas are.
const SCHEMAS: &str = "/components/schemas";

/// Makes the schema of an answer, and adds what it refers to.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Value;

/// The schema of a type.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// `GET /openapi.json`
pub(super) fn document(_: &Api, _: &Params) -> Answered {
    super::answer(made())
}

fn made() -> &'static Value {
    static MADE: OnceLock<Value> = OnceLock::new();
    MADE.get_or_init(make)
}

fn make() -> Value {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.into();
    let mut generator = settings.into_generator();
    let problem = of::<Problem>(&mut generator);
    let mut paths = Map::new();
    for endpoint in ALL {
        let answer = (endpoint.schema)(&mut generator);
        let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        item[endpoint.verb.key()] = operation(endpoint, &answer, &problem);
    }
    for act in acts::ALL {
        let answer = (act.schema)(&mut generator);
        let body = act.body.map(|body| body(&mut generator));
        let made = act_operation(act, &answer, body.as_ref(), &problem);
        let path = paths.entry(act.path).or_insert_with(|| json!({}));
        path[act.verb.as_str()] = made;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "saimon",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What saimon knows of anomalies and series. Times are RFC 3339 in UTC; numbers that are not finite are null.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn operation(endpoint: &Endpoint, answer: &Value, problem: &Value) -> Value {
    let failed = |description: &str| {
        let schema = json!({"schema": problem});
        json!({"description": description, "content": {PROBLEM_TYPE: schema}})
    };
    let mut answered = json!({
        "description": "What was asked for.",
        "content": {"application/json": {"schema": answer}},
    });
    let mut responses = Map::new();
    if endpoint.verb == Verb::Get {
        answered["headers"] = json!({"ETag": {
            "description": "Tells answers apart; as If-None-Match it gets 304 while the answer is the same.",
            "schema": {"type": "string"},
        }});
        let unchanged = json!({"description": "Nothing has changed."});
        responses.insert("304".to_owned(), unchanged);
    } else {
        let what = "It does not go with how things are, and nothing was done.";
        responses.insert("409".to_owned(), failed(what));
    }
    responses.insert("200".to_owned(), answered);
    responses.extend([
        (
            "400".to_owned(),
            failed("A parameter is unknown or not what it should be; `parameter` names it."),
        ),
        (
            "503".to_owned(),
            failed("Not now: ask again after the time in Retry-After."),
        ),
    ]);
    if endpoint.may_be_missing {
        responses.insert(
            "404".to_owned(),
            failed("There is no such thing, or nothing of the kind is kept."),
        );
    }
    json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.path.split('/').nth(3).unwrap_or("saimon")],
        "parameters": endpoint.params.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses,
    })
}

fn act_operation(act: &Act, answer: &Value, body: Option<&Value>, problem: &Value) -> Value {
    let failed = |description: &str| {
        let schema = json!({"schema": problem});
        json!({"description": description, "content": {PROBLEM_TYPE: schema}})
    };
    let mut made = json!({
        "operationId": act.name,
        "summary": act.summary,
        "tags": [act.path.split('/').nth(3).unwrap_or("saimon")],
        "parameters": act.params.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {
            "200": {
                "description": "It is done, and kept.",
                "content": {"application/json": {"schema": answer}},
            },
            "400": failed("A parameter or a field is unknown or not what it should be; `parameter` names it."),
            "404": failed("There is no such thing, or nothing of the kind is kept."),
            "503": failed("Not now: ask again after the time in Retry-After."),
        },
    });
    if let Some(body) = body {
        let content = json!({"application/json": {"schema": body}});
        made["requestBody"] = json!({"required": true, "content": content});
    }
    made
}

fn parameter(param: &Param) -> Value {
    let one = match param.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Selector => json!({"type": "string", "examples": ["up{job=\"node\"}"]}),
        Kind::Time => json!({"type": "string", "examples": ["2026-01-31T12:00:00Z", "1769860800"]}),
        Kind::OneOf(names) => json!({"type": "string", "enum": names}),
        Kind::Integer { least, most, usual } => {
            json!({"type": "integer", "minimum": least, "maximum": most, "default": usual})
        }
    };
    let schema = match param.many {
        true => json!({"type": "array", "items": one}),
        false => one,
    };
    let mut made = json!({
        "name": param.name,
        "in": if param.in_path { "path" } else { "query" },
        "required": param.in_path,
        "description": param.doc,
        "schema": schema,
    });
    if param.many {
        made["style"] = json!("form");
        made["explode"] = json!(true);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_referred_to_is_there() {
        let document = make();
        let text = document.to_string();
        let mut refs = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            refs += 1;
        }
        assert!(refs > 5, "{text}");
        for endpoint in ALL {
            let operation = &document["paths"][endpoint.path][endpoint.verb.key()];
            assert_eq!(operation["operationId"], endpoint.name);
            let declared = operation["parameters"].as_array().unwrap().len();
            assert_eq!(declared, endpoint.params.len());
            let braces = endpoint.path.matches('{').count();
            let in_path = endpoint.params.iter().filter(|p| p.in_path).count();
            assert_eq!(braces, in_path, "{}", endpoint.path);
        }
    }
}
