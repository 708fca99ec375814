//! PostgreSQL servers in temporary folders. Each ends, and its folder goes, with its owner: when the value is
//! dropped, when a test panics, and when the process is killed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// The port, also in the name of the socket.
pub const PORT: u16 = 5432;

/// The role of a store: it may connect, and read statistics.
pub const ROLE: &str = "lethe";

/// Who may connect to a server with TLS.
const HBA: &str = "local all all trust
hostssl all certified all cert
hostssl all all all scram-sha-256
";

/// One server. Its data may be new, or those of another one.
#[derive(Debug)]
pub struct Server {
    /// Data, socket and log.
    folder: TempDir,
    /// Ends the server when nobody holds its standard input any more.
    watch: Child,
    /// Where it listens beside its socket.
    addresses: String,
}

/// What a server shows to its clients, and whose certificates it takes from them. In PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// Who signs the certificates of clients.
    pub ca: String,
}

impl Server {
    /// A new server, started.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn new() -> Self {
        Self::with_data("", initialise).with_role()
    }

    /// A new server, started, that listens on two addresses of its own too: with TLS, and for passwords; the role
    /// `certified` comes by its certificate alone. `identity` is made for the addresses.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn with_tls(identity: impl FnOnce(&[String; 2]) -> Identity) -> (Self, [String; 2]) {
        let addresses = loopback();
        let Identity {
            certificate,
            key,
            ca,
        } = identity(&addresses);
        let server = Self::with_data(&addresses.join(","), |data| {
            initialise(data);
            for (name, text) in [
                ("server.crt", certificate),
                ("server.key", key),
                ("ca.crt", ca),
            ] {
                write(&data.join(name), &text);
            }
            write(
                &data.join("postgresql.auto.conf"),
                "ssl = on\nssl_ca_file = 'ca.crt'\n",
            );
            write(&data.join("pg_hba.conf"), HBA);
        });
        (server.with_role(), addresses)
    }

    fn with_role(self) -> Self {
        let server = self;
        server.sql("postgres", &format!("CREATE ROLE {ROLE} LOGIN"));
        server.sql("postgres", &format!("GRANT pg_read_all_stats TO {ROLE}"));
        server
    }

    /// The one that the tests of a program share; a test has databases of its own in it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// A physical copy of this server as it is now, started, which follows nobody.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::with_data("", |data| {
            let mut backup = program("pg_basebackup");
            backup.args(["--checkpoint=fast", "--no-sync", "-U", "postgres", "-D"]);
            run(backup.arg(data).arg("-h").arg(self.socket()));
        })
    }

    /// A physical copy that follows this server under a name, started.
    #[must_use]
    pub fn standby(&self, name: &str) -> Self {
        let socket = self.socket().display();
        let source = format!("host={socket} port={PORT} user=postgres application_name={name}");
        let standby = Self::with_data("", |data| {
            let mut backup = program("pg_basebackup");
            backup.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]);
            run(backup.arg("-D").arg(data).args(["-d", &source]));
        });
        // It answers before it follows.
        let follows = format!(
            "SELECT count(*) FROM pg_stat_replication
             WHERE application_name = '{name}' AND state = 'streaming'"
        );
        let followed = (0..1_000).any(|_| self.sql("postgres", &follows) == "1");
        assert!(followed, "{name} does not follow");
        standby
    }

    fn with_data(addresses: &str, make: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        make(&folder.path().join("data"));
        // Also when this process is killed.
        let end = r#"trap "" INT; cat; "$@" stop -m immediate -D "$folder/data"; rm -rf "$folder""#;
        // In a session of its own: what ends the tests must not end it first.
        let watch = Command::new("setsid")
            .args(["sh", "-c", end, "sh"])
            .args(prefix())
            .arg(bin().join("pg_ctl"))
            .env("folder", folder.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let server = Self {
            folder,
            watch,
            addresses: addresses.into(),
        };
        server.start();
        server
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it; it answers then.
    pub fn start(&self) {
        let options = format!(
            "-k {} -c listen_addresses='{}' -c shared_buffers=32MB -c log_min_messages=info",
            self.socket().display(),
            self.addresses
        );
        let mut start = self.control("start");
        run(start.args(["-w", "-o", &options, "-l"]).arg(self.log()));
    }

    /// Stops it: `fast` ends sessions in order, `immediate` is as if the machine had lost its power, but for
    /// what the system's caches hold.
    pub fn stop(&self, mode: &str) {
        run(self.control("stop").args(["-m", mode]));
    }

    /// Promotes a standby; it can be written then.
    pub fn promote(&self) {
        run(self.control("promote").arg("-w"));
    }

    /// A standby follows another server from now on, under a name.
    pub fn follow(&self, source: &Self, name: &str) {
        let socket = source.socket().display();
        let source = format!("host={socket} port={PORT} user=postgres application_name={name}");
        self.sql(
            "postgres",
            &format!("ALTER SYSTEM SET primary_conninfo = '{source}'"),
        );
        self.reload();
    }

    /// Reads its configuration again.
    pub fn reload(&self) {
        run(&mut self.control("reload"));
    }

    fn control(&self, what: &str) -> Command {
        let mut control = program("pg_ctl");
        control.arg(what).arg("-s").arg("-D");
        control.arg(self.folder.path().join("data"));
        control
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged: warnings of every session too.
    #[must_use]
    pub fn logged(&self) -> String {
        let log = fs::read(self.log()).expect("a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Runs statements as a superuser; rows come back as lines, columns between `|`.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements)
            .unwrap_or_else(|why| panic!("{statements}: {why}"))
    }

    /// As [`Self::sql`].
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = program("psql");
        let fixed = ["-X", "-A", "-t", "-U", "postgres", "-v", "ON_ERROR_STOP=1"];
        psql.args(fixed).arg("-h").arg(self.socket());
        let done = psql.args(["-d", database, "-c", statements]).output();
        let done = done.expect("psql");
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() {
            Ok(text(&done.stdout))
        } else {
            Err(text(&done.stderr))
        }
    }

    /// An empty database that belongs to [`ROLE`].
    #[must_use]
    pub fn database(&self) -> String {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("store_{}", LAST.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
        name
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

fn initialise(data: &Path) {
    let fixed = ["--auth=trust", "--username=postgres", "--no-sync"];
    let fixed = fixed.into_iter().chain(["--locale=C", "--encoding=UTF8"]);
    run(program("initdb").arg("-D").arg(data).args(fixed));
}

/// Two addresses that no other server has: every process takes them from another network.
fn loopback() -> [String; 2] {
    static LAST: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let next = LAST.fetch_add(2, Ordering::Relaxed);
    [next, next + 1].map(|next| format!("127.{next}.{high}.{low}"))
}

/// A file of the server alone.
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(path));
    }
}

fn is_root() -> bool {
    let ours = fs::metadata("/proc/self").map(|it| it.uid());
    ours.is_ok_and(|id| id == 0)
}

/// PostgreSQL does not run as root.
fn prefix() -> Vec<&'static str> {
    let as_postgres = [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ];
    as_postgres.into_iter().filter(|_| is_root()).collect()
}

/// The programs of the newest release that Debian has installed.
fn bin() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = found.flatten().map(|it| it.path().join("bin"));
    let of = |path: &PathBuf| {
        let name = path.parent().and_then(Path::file_name);
        name.and_then(|it| it.to_str()?.parse::<u32>().ok())
    };
    let found = found.filter(|it| it.join("initdb").exists());
    found
        .max_by_key(of)
        .expect("PostgreSQL: apt-get install postgresql")
}

fn program(name: &str) -> Command {
    let mut words: Vec<PathBuf> = prefix().iter().map(PathBuf::from).collect();
    words.push(bin().join(name));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir("/");
    command
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {why}");
}
