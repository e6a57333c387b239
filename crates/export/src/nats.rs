//! Records to a stream of NATS JetStream, a message each.
//!
//! A message's `Nats-Msg-Id` is the record's name: the server drops what it has seen within the stream's duplicate window, so
//! that a batch that is sent again is not there twice. Beyond that window readers drop by `record_id`.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::carry::{Carrier, SendError};
use crate::record::Entry;
use crate::secret::Secret;
use crate::tls::{Tls, TlsError};

/// Where the stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsOptions {
    /// Servers: `nats://host:4222`, or `tls://` for TLS.
    pub urls: Vec<String>,
    /// The subject that records are published under.
    pub subject: String,
    /// The stream that takes them. It is made if it is not there.
    pub stream: String,
    /// How long the stream keeps records, if it is made; 0 is for ever.
    pub keep: Duration,
    /// Within which time the server knows a record again, if the stream is made.
    pub duplicate_window: Duration,
    /// File with a user's JWT and key (`.creds`).
    pub credentials: Option<PathBuf>,
    /// User and password.
    pub user: Option<(String, Secret)>,
    /// Token.
    pub token: Option<Secret>,
    /// Certificates, if the connection is to be encrypted whatever the URL says.
    pub tls: Option<Tls>,
}

/// Sends to a stream.
pub struct Nats {
    options: NatsOptions,
    tls: rustls::ClientConfig,
    runtime: Runtime,
    connection: Option<(Client, Context)>,
}

/// An acknowledgement is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);

impl Nats {
    /// Does not connect yet.
    ///
    /// # Errors
    /// If the certificates can't be used, or the system gives no thread.
    pub fn new(options: NatsOptions) -> Result<Self, TlsError> {
        let tls = options.tls.clone().unwrap_or_default().client()?;
        Ok(Self { options, tls, runtime: runtime("nats")?, connection: None })
    }
}

/// A thread that sees to connections while nothing is sent: it answers the servers' pings.
pub(crate) fn runtime(name: &str) -> Result<Runtime, TlsError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(format!("export-{name}"))
        .enable_all()
        .build()
        .map_err(|cause| TlsError::File { path: "a thread".into(), why: cause.to_string() })
}

async fn connect(options: &NatsOptions, tls: rustls::ClientConfig) -> Result<(Client, Context), SendError> {
    let again = |what: &str, error: &dyn std::fmt::Display| {
        SendError::Again(format!("{}: {what}: {error}", options.urls.join(",")))
    };
    let mut connect = ConnectOptions::new()
        .name("daylight")
        .connection_timeout(Duration::from_secs(5))
        .tls_client_config(tls)
        .require_tls(options.tls.is_some());
    if let Some(path) = &options.credentials {
        connect = connect
            .credentials_file(path)
            .await
            .map_err(|error| again(&format!("can't read {}", path.display()), &error))?;
    }
    if let Some((user, password)) = &options.user {
        connect = connect.user_and_password(user.clone(), password.to_string());
    }
    if let Some(token) = &options.token {
        connect = connect.token(token.to_string());
    }
    let client = connect.connect(&options.urls[..]).await.map_err(|error| again("can't connect", &error))?;
    let mut context = jetstream::new(client.clone());
    context.set_timeout(PATIENCE);
    if context.get_stream(&options.stream).await.is_err() {
        let config = Config {
            name: options.stream.clone(),
            subjects: vec![options.subject.clone()],
            max_age: options.keep,
            duplicate_window: options.duplicate_window,
            discard: DiscardPolicy::Old,
            description: Some("Flow records of Daylight, deduplicated by record_id".into()),
            ..Config::default()
        };
        let made = context.create_stream(config).await;
        made.map_err(|error| again(&format!("no stream {}, and it can't be made", options.stream), &error))?;
    }
    Ok((client, context))
}

async fn publish(context: &Context, options: &NatsOptions, entries: &[Entry]) -> Result<(), SendError> {
    let name = || options.urls.join(",");
    let mut waiting = Vec::with_capacity(entries.len());
    for entry in entries {
        let message =
            PublishMessage::build().payload(entry.line.to_vec().into()).message_id(entry.id.to_string());
        match context.send_publish(options.subject.clone(), message).await {
            Ok(acknowledgement) => waiting.push(acknowledgement),
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                return Err(SendError::Refused(format!("{}: {error}", name())));
            }
            Err(error) => return Err(SendError::Again(format!("{}: {error}", name()))),
        }
    }
    for acknowledgement in waiting {
        let taken =
            acknowledgement.await.map_err(|error| SendError::Again(format!("{}: {error}", name())))?;
        if taken.stream != options.stream {
            // Acknowledged all the same: what is wrong is that somebody else's stream has our subject.
            let why = format!(
                "{}: the stream {} takes {}, not {}",
                name(),
                taken.stream,
                options.subject,
                options.stream
            );
            return Err(SendError::Again(why));
        }
    }
    Ok(())
}

impl Carrier for Nats {
    fn send(&mut self, entries: &[Entry], _: &str) -> Result<(), SendError> {
        let Self { options, tls, runtime, connection } = self;
        let sent = runtime.block_on(async {
            let (_, context) = match connection {
                Some(connection) => connection,
                None => connection.insert(connect(options, tls.clone()).await?),
            };
            let late = |_| SendError::Again(format!("{}: no answer in time", options.urls.join(",")));
            timeout(PATIENCE, publish(context, options, entries)).await.map_err(late)?
        });
        if matches!(sent, Err(SendError::Again(_))) {
            // What its queue still holds would be sent beside what is tried again.
            self.connection = None;
        }
        sent
    }
}
