//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A message server that keeps ciphertext and wrapped keys only.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stores messages and gives them out.
    Serve(ServeArguments),
    /// Plays conversations, recorded or invented, against a running server, in compressed time, and checks at
    /// every day which messages still open.
    Replay(ReplayArguments),
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address to listen on; prints `message-server ready http://ADDR` once it answers.
    #[arg(long, default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// SQLite file; made when it is not there.
    #[arg(long, default_value = "messages.db")]
    pub database: PathBuf,
    /// Lethe, https://host:port
    #[arg(long, env = "LETHE_SERVER")]
    pub lethe: String,
    /// PEM file of the CA of Lethe's certificate.
    #[arg(long, env = "LETHE_CA")]
    pub ca: PathBuf,
    /// PEM file of this server's certificate.
    #[arg(long, env = "LETHE_CERT")]
    pub cert: PathBuf,
    /// PEM file of its private key.
    #[arg(long, env = "LETHE_KEY")]
    pub key: PathBuf,
    /// Keyspace of the rooms.
    #[arg(long, default_value = "chat")]
    pub keyspace: String,
    /// Data keys kept for reading, as long as Lethe allows; 0 asks Lethe at every reading.
    #[arg(long, default_value_t = 0)]
    pub reading_cache: usize,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// A recording: JSON lines, gzipped, of sent_at, conversation, sender, text, in order of time. Without it
    /// invented conversations are played.
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// The message server.
    #[arg(long, default_value = "http://127.0.0.1:8480")]
    pub server: String,
    /// Seconds that a day takes.
    #[arg(long, default_value_t = 2.0)]
    pub day_seconds: f64,
    /// Days to play, from the first message on; 0 plays all.
    #[arg(long, default_value_t = 45)]
    pub days: u32,
    /// The keyspace's retention, in seconds.
    #[arg(long, default_value_t = 6.0)]
    pub retention: f64,
    /// The keyspace's granularity, in seconds.
    #[arg(long, default_value_t = 1.0)]
    pub granularity: f64,
    /// Messages read back for each age, at each day.
    #[arg(long, default_value_t = 40)]
    pub sample: usize,
    /// Rooms to shred in the middle of the replay.
    #[arg(long, default_value_t = 5)]
    pub shred_rooms: usize,
    /// Start of the sequence that picks the samples and invents the conversations.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A picture for each day.
    Text,
    /// JSON lines.
    Json,
}
