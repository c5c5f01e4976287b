//! The OpenAPI document, made from the route table and nothing else.

use serde_json::{Map, Value, json};

use super::{Hold, ROUTES, Route};

/// The document, OpenAPI 3.1.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    // Methods of gRPC are described by their .proto.
    for route in ROUTES.iter().filter(|route| !route.is_rpc()) {
        let path = route.pattern.replace("...}", "}");
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(operations) = operations.as_object_mut() {
            let method = route.verb.name().to_ascii_lowercase();
            operations.insert(method, operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "DataOS kernel",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every governed answer carries DataOS-Request-Id and DataOS-Receipt.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-dataos-session"},
            },
            "schemas": {"Problem": problem()},
        },
        "security": [{"bearer": []}, {"session": []}],
    })
}

/// The document as text, as it is committed.
pub fn text() -> String {
    format!("{:#}", document())
}

fn operation(route: &Route) -> Value {
    let mut parameters = Vec::new();
    for part in route.pattern.split('/') {
        if let Some(name) = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            let name = name.trim_end_matches("...");
            let schema = json!({"type": "string"});
            parameters
                .push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
    }
    for name in route.query {
        parameters.push(json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    }
    let mut operation = json!({
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "2XX": {"description": "Done"},
            "default": {
                "description": "A problem",
                "content": {
                    "application/problem+json": {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                    },
                },
            },
        },
    });
    let Some(fields) = operation.as_object_mut() else {
        return operation;
    };
    if let Some(content_type) = route.takes {
        let mut content = Map::new();
        content.insert(content_type.to_owned(), json!({}));
        fields.insert(
            "requestBody".to_owned(),
            json!({"required": true, "content": content}),
        );
    }
    match route.governed {
        Some((action, _)) => {
            fields.insert("x-dataos-action".to_owned(), json!(action.name()));
        }
        None => {
            fields.insert("security".to_owned(), json!([]));
        }
    }
    fields.insert(
        "x-dataos-recorded".to_owned(),
        json!(route.hold != Hold::Open),
    );
    operation
}

fn problem() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["type", "title", "status", "instance"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": text,
            "reason": text,
            "policies": {"type": "array", "items": text},
            "hint": text,
            "location": {"type": "object"},
            "receipt": text,
        },
    })
}
