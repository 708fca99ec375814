//! A JSON value, altered in one place.

use serde_json::{Value, json};

/// Every alteration of every part of `value`, one at a time.
pub fn alterations(value: &Value) -> Vec<Value> {
    let mut altered = wrong_types(value);
    altered.extend(match value {
        Value::String(text) => texts(text),
        Value::Number(number) => numbers(number.as_u64().unwrap()),
        Value::Array(parts) => arrays(parts),
        Value::Object(_) => objects(value),
        Value::Null | Value::Bool(_) => Vec::new(),
    });
    altered.extend(inside(value));
    altered.retain(|other| other != value);
    altered
}

fn wrong_types(value: &Value) -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!([]),
        json!([value]),
        json!({}),
        json!(value.to_string()),
        json!(0.5),
        json!(-1),
    ]
}

/// Each character replaced by one of its kind and one of another, and changes of the whole.
fn texts(text: &str) -> Vec<Value> {
    let mut altered = vec![
        String::new(),
        text.to_uppercase(),
        format!("{text} "),
        format!(" {text}"),
        format!("{text}="),
        format!("{text}0"),
        text.trim_end_matches('=').to_owned(),
        text.replace('-', ""),
        text.replace('Z', "+00:00"),
        text.replace(".", ""),
    ];
    for (at, character) in text.char_indices() {
        let (before, rest) = text.split_at(at);
        let behind = &rest[character.len_utf8()..];
        // One of its kind, one that stands nowhere, one that some take for a digit; or none.
        for other in [if character == '0' { "1" } else { "0" }, "/", "\u{660}", ""] {
            altered.push(format!("{before}{other}{behind}"));
        }
    }
    altered.into_iter().map(Value::from).collect()
}

fn numbers(number: u64) -> Vec<Value> {
    let others = [
        0,
        1,
        number + 1,
        number.wrapping_sub(1),
        1 << 16,
        1 << 32,
        u64::MAX,
    ];
    let mut altered: Vec<Value> = others.map(Value::from).into();
    altered.push(json!(number as f64));
    altered.push(json!(number.to_string()));
    altered
}

fn arrays(parts: &[Value]) -> Vec<Value> {
    let mut altered = Vec::new();
    for at in 0..parts.len() {
        let (mut fewer, mut more, mut turned) = (parts.to_vec(), parts.to_vec(), parts.to_vec());
        fewer.remove(at);
        more.insert(at, parts[at].clone());
        turned.rotate_left(at);
        altered.extend([fewer, more, turned].map(Value::from));
    }
    altered
}

fn objects(value: &Value) -> Vec<Value> {
    let mut altered = Vec::new();
    for name in value.as_object().unwrap().keys() {
        let (mut fewer, mut renamed) = (value.clone(), value.clone());
        fewer.as_object_mut().unwrap().remove(name);
        let member = renamed.as_object_mut().unwrap().remove(name).unwrap();
        renamed[format!("{name}_")] = member;
        altered.extend([fewer, renamed]);
    }
    let mut more = value.clone();
    more["more"] = json!(1);
    altered.push(more);
    altered
}

/// One part altered, the rest as it was.
fn inside(value: &Value) -> Vec<Value> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut altered = value.clone();
        change(&mut altered);
        altered
    };
    let mut altered = Vec::new();
    for (name, part) in value.as_object().into_iter().flatten() {
        let parts = alterations(part).into_iter();
        altered.extend(parts.map(|part| with(&|value| value[name] = part.clone())));
    }
    for (at, part) in value.as_array().into_iter().flatten().enumerate() {
        let parts = alterations(part).into_iter();
        altered.extend(parts.map(|part| with(&|value| value[at] = part.clone())));
    }
    altered
}
