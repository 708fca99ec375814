//! `message-server serve`: wires the parts and waits for the end.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use lethe_client::{Client, ClientConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::chat::Chat;
use crate::cli::ServeArguments;
use crate::http;
use crate::store::Store;

/// Requests under way may take this long after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// What ends a command.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        // They go to standard error too, and a panic follows where that is closed.
        .log_internal_errors(false)
        .init();
    let config = ClientConfig::new(
        &arguments.lethe,
        &arguments.ca,
        &arguments.cert,
        &arguments.key,
    );
    let keyspace = arguments.keyspace.parse()?;
    let store = Store::open(&arguments.database).await?;
    let (writer, reader) = (Client::new(&config)?, Client::new(&config)?);
    let cache = arguments.reading_cache;
    let chat = Arc::new(Chat::new(store.clone(), keyspace, writer, reader, cache));
    resume(Arc::clone(&chat));

    let stop = stop_signal()?;
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    if let Err(error) = writeln!(std::io::stdout(), "message-server ready http://{address}") {
        tracing::warn!(%error, "standard output does not take the line that it is ready");
    }
    serve(listener, chat, stop).await?;
    store.close().await;
    Ok(())
}

fn resume(chat: Arc<Chat<Client>>) {
    tokio::spawn(async move {
        match chat.resume_shreds().await {
            Ok(0) => {}
            Ok(sent) => tracing::info!(sent, "sent shreds again that had no receipt"),
            Err(error) => tracing::warn!(%error, "shreds without a receipt are left"),
        }
    });
}

async fn serve(
    listener: TcpListener,
    chat: Arc<Chat<Client>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let serving = axum::serve(listener, http::router(chat)).with_graceful_shutdown(async {
        stop.await;
        let _ = stopping.send(());
    });
    let overtime = async {
        let _ = stopped.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving => Ok(ended?),
        () = overtime => {
            tracing::warn!("requests were cut off at the end");
            Ok(())
        }
    }
}

fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
