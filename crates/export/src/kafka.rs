//! Records to a topic of Kafka, a message each, without C.
//!
//! A message's key is the flow's `uid`, hashed to a partition as Java's clients do it, so that a flow's records stay in
//! order and consumers that share the topic's partitions with other producers find them where they expect them. Its header
//! `record_id` tells what was sent twice: the client has no idempotent producer, and all replicas in sync must acknowledge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::carry::{Carrier, SendError};
use crate::nats::runtime;
use crate::record::Entry;
use crate::secret::Secret;
use crate::tls::{Tls, TlsError};

/// Where the topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Brokers to begin with: `host:9092`.
    pub brokers: Vec<String>,
    /// The topic. It must be there, unless the brokers make topics by themselves.
    pub topic: String,
    /// User, password and the mechanism, for SASL.
    pub user: Option<(String, Secret, Sasl)>,
    /// Certificates, if the connection is to be encrypted.
    pub tls: Option<Tls>,
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sasl {
    /// It is told: only over TLS.
    Plain,
    /// SCRAM-SHA-256.
    Scram256,
    /// SCRAM-SHA-512.
    Scram512,
}

/// Sends to a topic.
pub struct Kafka {
    options: KafkaOptions,
    tls: Option<Arc<rustls::ClientConfig>>,
    runtime: Runtime,
    /// By number.
    partitions: Vec<Arc<PartitionClient>>,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Kafka {
    /// Does not connect yet.
    ///
    /// # Errors
    /// If the certificates can't be used, or the system gives no thread.
    pub fn new(options: KafkaOptions) -> Result<Self, TlsError> {
        let tls = options.tls.as_ref().map(|tls| tls.client().map(Arc::new)).transpose()?;
        Ok(Self { options, tls, runtime: runtime("kafka")?, partitions: Vec::new() })
    }
}

async fn connect(
    options: &KafkaOptions,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<Vec<Arc<PartitionClient>>, SendError> {
    let failed = |error: Error| SendError::Again(format!("{}: {error}", options.brokers.join(",")));
    let backoff = BackoffConfig { deadline: Some(PATIENCE / 2), ..BackoffConfig::default() };
    let mut builder =
        ClientBuilder::new(options.brokers.clone()).client_id("daylight").backoff_config(backoff);
    if let Some(tls) = tls {
        builder = builder.tls_config(tls);
    }
    if let Some((user, password, mechanism)) = &options.user {
        let credentials = Credentials::new(user.clone(), password.to_string());
        builder = builder.sasl_config(match mechanism {
            Sasl::Plain => SaslConfig::Plain(credentials),
            Sasl::Scram256 => SaslConfig::ScramSha256(credentials),
            Sasl::Scram512 => SaslConfig::ScramSha512(credentials),
        });
    }
    let client = builder.build().await.map_err(failed)?;
    let topics = client.list_topics().await.map_err(failed)?;
    let topic = topics.into_iter().find(|topic| topic.name == options.topic);
    let numbers: Vec<i32> = topic.map(|topic| topic.partitions.into_iter().collect()).unwrap_or_default();
    if numbers.is_empty() {
        let brokers = options.brokers.join(",");
        return Err(SendError::Again(format!("{brokers}: there is no topic {}: make it", options.topic)));
    }
    let mut partitions = Vec::new();
    for number in numbers {
        let partition = client.partition_client(&options.topic, number, UnknownTopicHandling::Error).await;
        partitions.push(Arc::new(partition.map_err(failed)?));
    }
    partitions.sort_by_key(|partition| partition.partition());
    Ok(partitions)
}

fn message(entry: &Entry) -> Record {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let milliseconds = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    Record {
        key: Some(entry.uid.to_vec()),
        value: Some(entry.line.to_vec()),
        headers: BTreeMap::from([("record_id".to_owned(), entry.id.to_string().into_bytes())]),
        timestamp: chrono::DateTime::from_timestamp_millis(milliseconds).unwrap_or_default(),
    }
}

/// All partitions at once; the first error counts.
async fn produce(
    partitions: &[Arc<PartitionClient>],
    options: &KafkaOptions,
    entries: &[Entry],
) -> Result<(), SendError> {
    let mut parts: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
    for entry in entries {
        parts.entry(partition(&entry.uid, partitions.len())).or_default().push(message(entry));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (number, records) in parts {
        let Some(partition) = partitions.get(number).map(Arc::clone) else { continue };
        tasks.spawn(async move { partition.produce(records, Compression::NoCompression).await });
    }
    let mut outcome = Ok(());
    while let Some(done) = tasks.join_next().await {
        let why = match done {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error,
            Err(error) => return Err(SendError::Again(format!("{}: {error}", options.brokers.join(",")))),
        };
        let text = format!("{}: {why}", options.brokers.join(","));
        let refused = matches!(
            why,
            Error::ServerError {
                protocol_error: ProtocolError::MessageTooLarge
                    | ProtocolError::RecordListTooLarge
                    | ProtocolError::InvalidRecord,
                ..
            }
        );
        match outcome {
            Err(SendError::Again(_)) => {}
            _ => outcome = Err(if refused { SendError::Refused(text) } else { SendError::Again(text) }),
        }
    }
    outcome
}

/// As the default partitioner of Java's client: murmur2 of the key, without its sign, modulo.
fn partition(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)
}

fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

impl Carrier for Kafka {
    fn send(&mut self, entries: &[Entry], _: &str) -> Result<(), SendError> {
        let Self { options, tls, runtime, partitions } = self;
        let sent = runtime.block_on(async {
            let late = |_| SendError::Again(format!("{}: no answer in time", options.brokers.join(",")));
            if partitions.is_empty() {
                *partitions = timeout(PATIENCE, connect(options, tls.clone())).await.map_err(late)??;
            }
            timeout(PATIENCE, produce(partitions, options, entries)).await.map_err(late)?
        });
        if matches!(sent, Err(SendError::Again(_))) {
            // Topics are made anew, partitions added, leaders move.
            self.partitions.clear();
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test (`UtilsTest.testMurmur2`).
    #[test]
    fn hashes_as_java_does() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
