use std::fs::{Permissions, set_permissions, write};

use super::*;

const SAMPLE: &str = include_str!("../../config/lethe.toml");

fn with(from: &str, to: &str) -> Result<Config, String> {
    assert!(SAMPLE.contains(from), "{from}");
    Config::parse(&SAMPLE.replacen(from, to, 1))
}

#[test]
fn the_sample_is_valid_and_shows_every_option() {
    let config = Config::parse(SAMPLE).unwrap();
    let shown = format!("{config:?}");
    // Debug writes `field: value`, and every field is an option or a section.
    let fields: Vec<_> = shown
        .match_indices(": ")
        .filter_map(|(at, _)| {
            shown[..at]
                .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next()
        })
        .filter(|field| !field.is_empty())
        .collect();
    assert!(fields.len() > 20, "{shown}");
    for field in fields {
        let named = |line: &str| {
            let line = line.trim_start_matches("# ");
            let option = line.split('=').next().map(str::trim) == Some(field);
            let sections = line.trim_matches(['[', ']']).split('.').any(|s| s == field);
            option || line.starts_with('[') && sections || line.contains(&format!(" {field} ="))
        };
        assert!(
            SAMPLE.lines().any(named),
            "{field} is not in config/lethe.toml"
        );
    }
}

/// What the sample says of a line that may be left out.
#[test]
fn the_sample_shows_the_defaults() {
    let whole = Config::parse(SAMPLE).unwrap();
    let lines: Vec<_> = SAMPLE.lines().collect();
    let mut others = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        let mut without = lines.clone();
        without.remove(place);
        // Without what has no default it is refused.
        if let Ok(config) = Config::parse(&without.join("\n"))
            && config != whole
        {
            others.push(name);
        }
    }
    // Those of which it says that there is none by default, or that they follow another option.
    let known = [
        "environment",
        "shreds_per_client",
        "shreds_per_keyspace",
        "shreds_at_least",
        "issue",
        "unwrap",
        "shred",
        "rewrap",
        "conversations",
    ];
    assert_eq!(others, known);
}

#[test]
fn errors_name_line_and_option() {
    for (from, to, named) in [
        ("threads = 4", "thraeds = 4", "unknown field `thraeds`"),
        ("threads = 4", "threads = -4", "in `hsm.threads`"),
        (
            "listen = \"127.0.0.1:8443\"",
            "listen = \"here\"",
            "in `server.listen`",
        ),
        ("\"5s\"", "\"5 s\"", "in `hsm.call_timeout`"),
        ("sqlite = \"lethe.db\"", "", "store needs `sqlite`"),
        (
            "role = \"operator\"",
            "role = \"king\"",
            "unknown variant `king`",
        ),
        (
            "spiffe://example.org/chat",
            "http://example.org",
            "not a SPIFFE id",
        ),
        (
            "keyspaces = [\"chat\"]",
            "keyspaces = [\"c*t\"]",
            "'c*t' is no keyspace",
        ),
        ("[store]", "[store", "unclosed table"),
    ] {
        let error = with(from, to).unwrap_err();
        assert!(error.contains(named), "{error}");
        assert!(!error.contains('\n'), "{error}");
        // A missing option is reported where its section begins.
        let at = if to.is_empty() { "[store]" } else { from };
        let before = &SAMPLE[..SAMPLE.find(at).unwrap()];
        let line = before.matches('\n').count() + 1;
        assert!(
            error.starts_with(&format!("line {line}: ")),
            "{error} at {line}"
        );
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (from, to, option) in [
        ("threads = 4", "threads = 0", "hsm.threads"),
        ("\"5s\"", "\"0s\"", "hsm.call_timeout"),
        ("max_objects = 20000", "max_objects = 0", "hsm.max_objects"),
        ("token = \"lethe\"", "token = \"\"", "hsm.token"),
        ("{ HSM", "{ \"A=B\" = \"\", HSM", "hsm.environment"),
        (
            "max_connections = 10000",
            "max_connections = 0",
            "server.max_connections",
        ),
        (
            "header_timeout = \"10s\"",
            "header_timeout = \"1ms\"",
            "server.header_timeout",
        ),
        (
            "idle_timeout = \"60s\"",
            "idle_timeout = \"1d\"",
            "server.idle_timeout",
        ),
        (
            "request_timeout = \"30s\"",
            "request_timeout = \"1d\"",
            "server.request_timeout",
        ),
        (
            "shutdown_grace = \"10s\"",
            "shutdown_grace = \"2h\"",
            "server.shutdown_grace",
        ),
        (
            "segment_bytes = 67108864",
            "segment_bytes = 1",
            "audit.segment_bytes",
        ),
        ("shreds = 10000", "shreds = 0", "approvals.shreds"),
        ("window = \"1h\"", "window = \"0s\"", "approvals.window"),
        (
            "expire_after = \"24h\"",
            "expire_after = \"400d\"",
            "approvals.expire_after",
        ),
        ("max_gap = \"6h\"", "max_gap = \"999ms\"", "clock.max_gap"),
        ("level = \"info\"", "level = \"a=b=c\"", "log.level"),
        ("ratio = 0.01", "ratio = -0.1", "telemetry.sample_ratio"),
        ("ratio = 0.01", "ratio = 1.1", "telemetry.sample_ratio"),
        ("ratio = 0.01", "ratio = nan", "telemetry.sample_ratio"),
        (
            "service_name = \"lethe\"",
            "service_name = \"\"",
            "telemetry.service_name",
        ),
        (
            "timeout = \"5s\"\n\n# One",
            "timeout = \"61s\"\n\n# One",
            "telemetry.timeout",
        ),
        (
            "example.org/operator",
            "example.org/chat",
            "access.client names spiffe://",
        ),
    ] {
        let error = with(from, to).unwrap_err();
        assert!(error.starts_with(option), "{error}");
    }
    assert!(with("shutdown_grace = \"10s\"", "shutdown_grace = \"0s\"").is_ok());
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.toml");
    write(&path, SAMPLE).unwrap();
    let config = Config::load(&path).unwrap();
    let database = folder.path().join("lethe.db");
    assert_eq!(config.store, StoreSection::Sqlite(database));
    assert_eq!(config.server.key, folder.path().join("pki/server.key"));
    let socket = folder.path().join("hsm/hsm.sock");
    assert_eq!(
        config.hsm.environment["HSM_SIM_SOCKET"],
        socket.to_str().unwrap()
    );
    let error = Config::load(&folder.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("none: "), "{error}");
}

#[test]
fn credentials_are_expanded_and_no_other_variable() {
    let credentials = Some(Path::new("/run/credentials/lethe.service"));
    let pin = |text: &str, credentials| {
        let mut config = with("\"pin\"", &format!("\"{text}\"")).unwrap();
        config.resolve(Path::new("/etc/lethe"), credentials)?;
        Ok::<_, String>(config.hsm.pin_file)
    };
    assert_eq!(
        pin("$CREDENTIALS_DIRECTORY/pin", credentials).unwrap(),
        Path::new("/run/credentials/lethe.service/pin")
    );
    assert_eq!(pin("/srv/pin", None).unwrap(), Path::new("/srv/pin"));
    for bad in ["$CREDENTIALS_DIRECTORY/pin", "$HOME/pin", "~/pin", ""] {
        let error = pin(bad, None).unwrap_err();
        assert!(error.starts_with("hsm.pin_file "), "{error}");
    }
}

#[test]
fn a_pin_that_everybody_may_read_or_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::parse(SAMPLE).unwrap();
    config.hsm.pin_file = folder.path().join("pin");
    for (text, mode, refused) in [
        ("1234\n", 0o600, None),
        ("1234", 0o440, None),
        ("1234", 0o644, Some("every user")),
        ("\n", 0o600, Some("holds no PIN")),
    ] {
        let _ = std::fs::remove_file(&config.hsm.pin_file);
        write(&config.hsm.pin_file, text).unwrap();
        set_permissions(&config.hsm.pin_file, Permissions::from_mode(mode)).unwrap();
        match (config.hsm.pkcs11(), refused) {
            (Ok(_), None) => {}
            (Err(error), Some(reason)) => assert!(error.to_string().contains(reason), "{error}"),
            (result, _) => panic!("{text:?} {mode:o}: {result:?}"),
        }
    }
}

#[test]
fn all_but_access_and_tls_needs_a_restart() {
    let config = with("threads = 4", "threads = 4").unwrap();
    for (from, to, section) in [
        ("\"pki/server.crt\"", "\"a\"", None),
        ("\"pki/server.key\"", "\"a\"", None),
        ("\"pki/ca.crt\"", "\"a\"", None),
        ("client_crls = []", "client_crls = [\"a\"]", None),
        (
            "expired_crls = \"refuse\"",
            "expired_crls = \"accept\"",
            None,
        ),
        ("role = \"operator\"", "role = \"auditor\"", None),
        // A default that is written out is no change.
        ("threads = 4", "", None),
        (
            "header_timeout = \"10s\"",
            "header_timeout = \"9s\"",
            Some("server"),
        ),
        ("\"lethe.db\"", "\"a\"", Some("store")),
        ("threads = 4", "threads = 5", Some("hsm")),
        ("67108864", "67108865", Some("audit")),
        (
            "tail_bytes = 33554432",
            "tail_bytes = 33554433",
            Some("cache"),
        ),
        ("\"400d\"", "\"401d\"", Some("receipts")),
        (
            "after_shreds = 2000000",
            "after_shreds = 2000001",
            Some("rotation"),
        ),
        ("format = \"text\"", "format = \"json\"", Some("log")),
        ("ratio = 0.01", "ratio = 0.02", Some("telemetry")),
    ] {
        let new = with(from, to).unwrap();
        let expected: Vec<_> = section.into_iter().collect();
        assert_eq!(config.needs_restart(&new), expected, "{from}");
    }
}

#[test]
fn the_next_hsm_is_another_one_and_reads_the_same_environment() {
    let next = |section: &str| {
        let place = "[audit]\n";
        with(place, &format!("[hsm_next]\n{section}\n{place}"))
    };
    let module = "module = \"libhsm_sim_pkcs11.so\"\npin_file = \"next\"\n";
    let other = next(&format!("{module}token = \"other\"")).unwrap();
    assert_eq!(other.environment()["HSM_SIM_SOCKET"], "./hsm/hsm.sock");
    for (section, why) in [
        ("token = \"lethe\"", "names the module and token of hsm"),
        ("token = \"\"", "hsm_next.token must be"),
        (
            "token = \"other\"\nenvironment = { HSM_SIM_SOCKET = \"./other\" }",
            "give a variable two values",
        ),
    ] {
        let error = next(&format!("{module}{section}")).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_collector_is_named_by_its_address() {
    let endpoint = |address: &str| {
        let line = format!("otlp_endpoint = \"{address}\"");
        let config = with("# otlp_endpoint = \"http://127.0.0.1:4318\"", &line)?;
        let endpoint = config.telemetry.endpoint()?.unwrap();
        Ok::<_, String>(endpoint.to_string())
    };
    for (given, used) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
        ("http://collector/v1/traces", "http://collector/v1/traces"),
        ("http://collector:80/a/b", "http://collector:80/a/b"),
    ] {
        assert_eq!(endpoint(given).unwrap(), used);
    }
    for (bad, why) in [
        ("https://collector:4318", "https is not spoken"),
        ("http://me:secret@collector", "no user and no password"),
        ("http://collector/?a=b", "nothing behind its path"),
        ("http://collector/#a", "nothing behind its path"),
        ("grpc://collector", "an address such as"),
        ("127.0.0.1:4318", "an address such as"),
        ("/v1/traces", "an address such as"),
        ("http://", "an address such as"),
        ("http://a b", "an address such as"),
        ("", "an address such as"),
    ] {
        let error = endpoint(bad).unwrap_err();
        assert!(error.starts_with("telemetry.otlp_endpoint "), "{error}");
        assert!(error.contains(why), "{bad}: {error}");
        // It may hold a password.
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(
        Config::parse(SAMPLE).unwrap().telemetry.endpoint(),
        Ok(None)
    );
}

#[test]
fn a_store_is_one_of_both_and_says_how_it_is_reached() {
    let only = |options: &str| {
        let text = SAMPLE.replace("sqlite = \"lethe.db\"", "").replace(
            "[store]",
            &format!(
                "[store.postgres]\ndatabase = \"lethe\"\nuser = \"lethe\"\nstate = \"state\"\n{options}\n"
            ),
        );
        Config::parse(&text).map(|config| config.store)
    };
    for options in [
        "hosts = { a = \"/run/postgresql\" }",
        "hosts = { a = \"db-a:5433\" }\nca = \"ca.crt\"",
        "hosts = { a = \"[::1]\" }\nca = \"ca.crt\"\ncertificate = \"c\"\nkey = \"k\"",
    ] {
        assert!(
            matches!(only(options), Ok(StoreSection::Postgres(_))),
            "{options}"
        );
    }
    for (options, reason) in [
        ("hosts = {}", "store.postgres.hosts"),
        ("hosts = { a = \"db-a\" }", "store.postgres.ca is required"),
        (
            "hosts = { a = \"/a\", b = \"/b\" }\ndurable_on = 1",
            "needs hsm.max_outage",
        ),
        ("hosts = { a = \"/a\" }\ndurable_on = 2", "must be 1 to 1"),
        ("hosts = { a = \"/a\", b = \"b\" }", "sockets or none"),
        ("hosts = { \"a b\" = \"/a\" }", "letters"),
        ("hosts = { a = \"db-a:0\" }\nca = \"ca.crt\"", "port"),
        (
            "hosts = { a = \"/run\" }\nca = \"ca.crt\"",
            "a socket needs no TLS",
        ),
        (
            "hosts = { a = \"db-a\" }\nca = \"c\"\nkey = \"k\"",
            "need each other",
        ),
    ] {
        let error = only(options).unwrap_err();
        assert!(error.contains(reason), "{options}: {error}");
    }
    let both = "sqlite = \"lethe.db\"\n[store.postgres]\nhosts = { a = \"/run\" }\ndatabase = \"lethe\"\n\
                user = \"lethe\"\nstate = \"state\"\n";
    let error = with("sqlite = \"lethe.db\"\n", both).unwrap_err();
    assert!(error.contains("not both"), "{error}");
}
