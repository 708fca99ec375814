use std::collections::BTreeSet;

use serde_json::Value;

use super::document;
use crate::http::routes;

/// Every schema of the document with where it stands, those inside of others too.
fn schemas(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (name, schema) in members(&document["components"]["schemas"]) {
        walk(name.clone(), schema, &mut found);
    }
    for (place, operation) in operations(document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            walk(format!("{place} body"), body, &mut found);
        }
        for parameter in elements(&operation["parameters"]) {
            walk(
                format!("{place} {}", parameter["name"]),
                &parameter["schema"],
                &mut found,
            );
        }
        for (status, response) in members(&operation["responses"]) {
            for (_, content) in members(&response["content"]) {
                walk(format!("{place} {status}"), &content["schema"], &mut found);
            }
        }
    }
    found
}

fn walk<'a>(place: String, schema: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    for (name, member) in members(&schema["properties"]) {
        walk(format!("{place}.{name}"), member, found);
    }
    if let Some(items) = schema.get("items") {
        walk(format!("{place}[]"), items, found);
    }
    for (index, one) in elements(&schema["oneOf"]).iter().enumerate() {
        walk(format!("{place}|{index}"), one, found);
    }
    found.push((place, schema));
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = members(&document["paths"]);
    let each = paths.flat_map(|(path, methods)| {
        members(methods).map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    each.collect()
}

/// What a generator of clients drops: a schema that leaves open what it is.
#[test]
fn every_schema_is_whole() {
    let document = document();
    for (place, schema) in schemas(&document) {
        for word in ["allOf", "anyOf", "const", "not"] {
            assert!(
                schema.get(word).is_none(),
                "{place}: generators do not agree on {word}"
            );
        }
        let kind = schema["type"]
            .as_str()
            .or_else(|| schema["type"][0].as_str());
        let choices = elements(&schema["oneOf"]);
        match kind {
            Some("array") => assert!(schema.get("items").is_some(), "{place}: no items"),
            Some("object") => assert!(
                schema
                    .get("properties")
                    .or(schema.get("additionalProperties"))
                    .is_some(),
                "{place}: no properties"
            ),
            Some(_) => {}
            None => assert!(
                schema.get("$ref").is_some() || choices.len() > 1,
                "{place}: no type: {schema}"
            ),
        }
        assert!(
            choices.iter().all(|one| one.get("$ref").is_some()),
            "{place}: a choice without a name"
        );
    }
}

#[test]
fn everything_says_what_it_means() {
    let document = document();
    for (place, schema) in schemas(&document) {
        let is_member = place.contains('.') && !place.ends_with("[]") && !place.contains('|');
        if is_member && schema.get("$ref").is_none() {
            assert!(schema["description"].is_string(), "{place}: no description");
        }
    }
    for (name, schema) in members(&document["components"]["schemas"]) {
        assert!(schema["description"].is_string(), "{name}: no description");
        assert_eq!(schema["title"], name.as_str());
    }
}

#[test]
fn every_name_is_known_and_used() {
    let document = document();
    let text = document.to_string();
    let start = "#/components/schemas/";
    let named = text
        .split(start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let named: BTreeSet<_> = named.collect();
    let known: BTreeSet<_> = members(&document["components"]["schemas"])
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(named, known);
}

/// With its errors, and who may call it.
#[test]
fn every_route_is_described() {
    let document = document();
    let tags: BTreeSet<_> = elements(&document["tags"])
        .iter()
        .map(|tag| &tag["name"])
        .map(Value::to_string)
        .collect();
    let codes = document["components"]["schemas"]["Code"]["enum"].to_string();
    assert_eq!(operations(&document).len(), routes().len());
    for route in routes() {
        let place = format!("{} {}", route.method, route.path);
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], route.operation, "{place}");
        let roles: Vec<_> = route.roles.iter().map(|role| role.name()).collect();
        assert_eq!(operation["x-roles"], Value::from(roles), "{place}");
        assert!(tags.contains(&operation["tags"][0].to_string()), "{place}");
        for name in ["summary", "description"] {
            assert!(operation[name].is_string(), "{place}");
        }
        let responses = members(&operation["responses"]);
        let refusals = responses.filter(|(status, _)| status.as_str() >= "400");
        let mut refused = BTreeSet::new();
        for (status, response) in refusals {
            for code in elements(&response["x-codes"]) {
                assert!(codes.contains(&code.to_string()), "{place} {status} {code}");
                refused.insert(code.as_str());
            }
        }
        assert!(refused.contains(&Some("forbidden")), "{place}: {refused:?}");
        let parameters = route.path.matches('{').count();
        let described = elements(&operation["parameters"]).iter();
        assert_eq!(
            described.filter(|it| it["in"] == "path").count(),
            parameters,
            "{place}"
        );
    }
    assert_eq!(
        document["components"]["securitySchemes"]["mutualTLS"]["type"],
        "mutualTLS"
    );
}
