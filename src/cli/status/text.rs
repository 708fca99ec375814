//! The status as people read it. The service may be older or newer than this command: what its answer
//! lacks is shown as a dash, and is no failure.

use serde_json::Value;

use super::paint::{bad, doubtful, good, share, spread, strong};

/// Columns of a row that shows when buckets die.
const COLUMNS: u64 = 24;
/// The part of its objects above which an HSM is too full.
const FULL: u64 = 85;
/// Seconds after which an open erasure is late.
const LATE: u64 = 60;

/// The whole text.
pub(super) fn text(status: &Value) -> String {
    let mut lines = vec![strong("If everything were seized now:"), String::new()];
    for keyspace in list(status, "keyspaces") {
        lines.extend(keyspace_lines(keyspace));
        lines.push(String::new());
    }
    let buckets = number(status, "live_buckets");
    let last = moment(status, "last_expiry");
    lines.push(row(
        "buckets",
        &format!("{buckets} live, the last dies {last}"),
    ));
    lines.push(row("expiry", &expiry(status)));
    lines.push(row("to forget", &queue(status)));
    lines.push(row("approvals", &approvals(status)));
    lines.extend(hsm(status));
    for (name, field) in [
        ("store", "store"),
        ("audit log", "audit"),
        ("clock", "clock"),
    ] {
        lines.push(row(name, &state(status, field)));
    }
    for node in list(status, "nodes") {
        lines.push(row("node", &node_text(node)));
        let classical: Vec<_> = list(node, "classical_clients")
            .filter_map(Value::as_str)
            .collect();
        if !classical.is_empty() {
            let text = format!("no post-quantum key exchange: {}", classical.join(", "));
            lines.push(row("", &doubtful(&text)));
        }
    }
    lines.join("\n")
}

fn row(name: &str, text: &str) -> String {
    format!("  {name:<11} {text}")
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

fn string<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("-")
}

/// A time without its milliseconds.
fn moment(value: &Value, field: &str) -> String {
    let text = string(value, field);
    text.split_once('.')
        .map_or_else(|| text.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

/// `ok`, or what is wrong.
fn state(status: &Value, field: &str) -> String {
    match string(status, field) {
        "ok" => good("ok"),
        wrong => bad(wrong),
    }
}

/// A number and its noun.
fn count(number: u64, name: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

/// A time span in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

fn keyspace_lines(keyspace: &Value) -> Vec<String> {
    let name = strong(string(keyspace, "name"));
    let oldest = moment(keyspace, "oldest_readable");
    let mut lines = vec![format!("  {name}: messages readable back to {oldest}")];
    let buckets: Vec<_> = list(keyspace, "buckets").collect();
    if let (Some(first), Some(last)) = (buckets.first(), buckets.last()) {
        let end = number(last, "seconds_left").max(1);
        let mut columns = [0; COLUMNS as usize];
        for group in &buckets {
            let column = number(group, "seconds_left").saturating_mul(COLUMNS) / end;
            let column = usize::try_from(column.min(COLUMNS - 1)).unwrap_or(0);
            let count: &mut u64 = &mut columns[column];
            *count = count.saturating_add(number(group, "count"));
        }
        let (bars, live) = (spread(&columns), number(keyspace, "live_buckets"));
        let (next, end) = (span(number(first, "seconds_left")), span(end));
        lines.push(format!(
            "    {live:>5} buckets live  now |{bars}| in {end}; the next dies in {next}"
        ));
    }
    if keyspace["earlier_settings_until"].is_string() {
        let until = moment(keyspace, "earlier_settings_until");
        lines.push(doubtful(&format!(
            "          keys issued under earlier settings may open until {until}"
        )));
    }
    for version in list(keyspace, "key_versions") {
        lines.push(format!(
            "          version {}: {} old, {} forgotten",
            number(version, "version"),
            span(number(version, "age_seconds")),
            count(number(version, "forgotten"), "conversation"),
        ));
        lines.extend(list(version, "clients").map(client));
    }
    lines
}

/// What one client did with the keys of a version.
fn client(uses: &Value) -> String {
    let name = match uses["client"].as_str() {
        None | Some("") => "all other clients",
        Some(name) => name,
    };
    let part = |number_field, time_field, what| {
        let done = number(uses, number_field);
        let last = || moment(uses, time_field);
        (done > 0).then(|| format!("{done} {what}, last at {}", last()))
    };
    let issued = part("issued", "last_issued_at", "issued");
    let unwrapped = part("unwrapped", "last_unwrapped_at", "unwrapped");
    let parts: Vec<String> = issued.into_iter().chain(unwrapped).collect();
    format!("            {name}: {}", parts.join("; "))
}

fn expiry(status: &Value) -> String {
    match number(status, "overdue_buckets") {
        0 => format!(
            "{}, next {}",
            good("on time"),
            moment(status, "next_expiry")
        ),
        overdue => bad(&format!(
            "{} overdue, the oldest by {}: refused, but still there",
            count(overdue, "bucket"),
            span(number(status, "expiry_lag_seconds"))
        )),
    }
}

fn queue(status: &Value) -> String {
    let (open, age) = (
        number(status, "open_requests"),
        number(status, "oldest_open_request_seconds"),
    );
    let text = format!(
        "{} open, the oldest since {}",
        count(open, "request"),
        span(age)
    );
    match (open, age) {
        (0, _) => good("nothing waits"),
        (_, ..LATE) => text,
        _ => bad(&text),
    }
}

fn approvals(status: &Value) -> String {
    match number(status, "waiting_approvals") {
        0 => good("none waits"),
        waiting => doubtful(&format!(
            "{} for a second operator: `lethe approve`",
            count(waiting, "request")
        )),
    }
}

fn hsm(status: &Value) -> Vec<String> {
    let mut lines = vec![row("HSM", &state(status, "hsm"))];
    let device = &status["hsm_device"];
    if let Some(objects) = device["objects"].as_u64() {
        let most = number(device, "max_objects");
        let bar = share(objects, most);
        let bar = if u128::from(objects) * 100 > u128::from(most) * u128::from(FULL) {
            bad(&bar)
        } else {
            good(&bar)
        };
        let free = device["free_memory"].as_u64();
        let free = free.map_or_else(String::new, |free| format!(", {free} free on the token"));
        let (model, seen) = (string(device, "model"), moment(device, "seen_at"));
        lines.push(row("", &format!("{bar} {objects} of {most} objects{free}")));
        lines.push(row("", &format!("{model}, seen {seen}")));
    }
    lines
}

fn node_text(node: &Value) -> String {
    format!(
        "{} ({}), since {}, {}, {}",
        string(node, "name"),
        string(node, "release"),
        moment(node, "started_at"),
        count(number(node, "connections"), "connection"),
        count(number(node, "requests_under_way"), "request"),
    )
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_599, "59m 59s"),
            (86_399, "23h 59m"),
            (90_000, "1d 1h"),
            (u64::MAX, "213503982334601d 7h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn what_is_wrong_is_red_and_said() {
        let status = json!({
            "live_buckets": 2, "last_expiry": "2018-07-19T11:33:20.120Z",
            "overdue_buckets": 3, "expiry_lag_seconds": 125,
            "open_requests": 7, "oldest_open_request_seconds": 61, "waiting_approvals": 1,
            "hsm": "the HSM does not answer: gone", "store": "ok",
            "hsm_device": { "objects": 95, "max_objects": 100, "free_memory": 5, "model": "m" },
            "nodes": [{ "name": "n", "classical_clients": ["spiffe://d/old"] }],
            "keyspaces": [{ "name": "chat", "oldest_readable": "2018-07-16T11:33:20.120Z",
                "live_buckets": 2, "buckets": [
                    { "seconds_left": 0, "count": 1 }, { "seconds_left": 7200, "count": 1 }],
                "key_versions": [{ "version": 4, "age_seconds": 90000, "forgotten": 12 }] }],
        });
        let text = text(&status);
        let plain = strip_str(&text).to_string();
        for said in [
            "chat: messages readable back to 2018-07-16T11:33:20Z",
            "2 buckets live  now |█                      █| in 2h 0m; the next dies in 0s",
            "version 4: 1d 1h old, 12 conversations forgotten",
            "3 buckets overdue, the oldest by 2m 5s",
            "7 requests open, the oldest since 1m 1s",
            "1 request for a second operator",
            "the HSM does not answer: gone",
            "95 of 100 objects, 5 free on the token",
            "no post-quantum key exchange: spiffe://d/old",
        ] {
            assert!(plain.contains(said), "{said}\n{plain}");
        }
        for wrong in ["the HSM does not answer: gone", "3 buckets overdue"] {
            assert!(
                text.contains(&bad(wrong).replace("\u{1b}[0m", "")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_service_that_tells_less_is_no_failure() {
        for status in [
            json!({}),
            json!(null),
            json!({ "keyspaces": [{}], "nodes": [1] }),
        ] {
            assert!(text(&status).contains("HSM"));
        }
        let odd = json!({ "keyspaces": [{ "buckets": [
            { "seconds_left": u64::MAX, "count": u64::MAX }, { "count": 1 }] }] });
        assert!(text(&odd).contains("buckets"));
    }
}
