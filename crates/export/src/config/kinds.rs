//! What each kind of destination is told.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::table::{Reader, Table};
use super::{AlarmOptions, Kind, To};
use crate::alarm::otlp::OtlpOptions;
use crate::alarm::syslog::{SyslogOptions, SyslogTo};
use crate::alarm::webhook::WebhookOptions;
use crate::alarm::{Same, Severity};
use crate::clickhouse::ClickHouseOptions;
use crate::ipfix::{IpfixOptions, IpfixTo, PEN_EXAMPLE};
use crate::kafka::{KafkaOptions, Sasl};
use crate::nats::NatsOptions;
use crate::s3::S3Options;
use crate::secret::Secret;
use crate::tls::Tls;

type Read = fn(&mut Reader<'_>, &mut Table<'_, '_>) -> Kind;

const KINDS: &[(&str, Read)] = &[
    ("clickhouse", clickhouse),
    ("ipfix", ipfix),
    ("kafka", kafka),
    ("nats", nats),
    ("otlp", otlp),
    ("s3", s3),
    ("syslog", syslog),
    ("webhook", webhook),
];

pub(super) fn read(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Option<To> {
    let before = reader.problems.len();
    let read = table.choice(reader, "kind", KINDS);
    let Some(read) = read else {
        if reader.problems.len() == before {
            let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
            reader.problem(table.at, format!("[[to]] has no `kind`: add one of {}", names.join(", ")));
        }
        return None;
    };
    let at = table.place("name");
    let name = table.text(reader, "name");
    let kind = read(reader, table);
    let name = name.unwrap_or_else(|| kind.name().to_owned());
    table.is_called(format!("a [[to]] of kind {:?}", kind.name()));
    // It is a part of file names.
    if name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        reader.problem(at, "a `name` is letters, digits, - and _, at most 64 of them");
    }
    table.finish(reader);
    Some(To { name, kind })
}

fn tls(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Tls {
    let tls = Tls {
        ca: table.path(reader, "tls_ca"),
        certificate: table.path(reader, "tls_certificate"),
        key: table.path(reader, "tls_key"),
    };
    if tls.certificate.is_some() != tls.key.is_some() {
        reader.problem(table.at, "a certificate of our own needs both `tls_certificate` and `tls_key`");
    }
    tls
}

/// TLS where it is asked for by itself: `tls = true`, or any file.
fn optional_tls(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Option<Tls> {
    let wanted = table.flag(reader, "tls");
    let tls = tls(reader, table);
    wanted.unwrap_or_else(|| tls != Tls::default()).then_some(tls)
}

fn user(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Option<(String, Secret)> {
    let (user, password) = (table.text(reader, "user"), table.secret(reader, "password_file"));
    match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(user), None) => Some((user, Secret::default())),
        (None, Some(_)) => {
            reader.problem(table.place("password_file"), "a password needs a `user`");
            None
        }
    }
}

fn seconds(reader: &mut Reader<'_>, table: &mut Table<'_, '_>, key: &'static str, default: u64) -> Duration {
    Duration::from_secs(table.number(reader, key, 0..=31_536_000_000).unwrap_or(default))
}

fn url(reader: &mut Reader<'_>, table: &mut Table<'_, '_>, example: &str) -> String {
    let text = table.required(reader, "url", example);
    let known =
        url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !text.is_empty() && !known {
        reader.problem(table.place("url"), format!("`url` is an address such as {example}"));
    }
    text
}

fn host_and_port(
    reader: &mut Reader<'_>,
    table: &mut Table<'_, '_>,
    key: &'static str,
    example: &str,
) -> String {
    let text = table.required(reader, key, example);
    let fine =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !text.is_empty() && !fine {
        reader.problem(table.place(key), format!("`{key}` is a host and a port, such as {example}"));
    }
    text
}

fn alarms(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> AlarmOptions {
    let severities = Severity::ALL.map(|severity| (severity.name(), severity));
    let same = [("pair", Same::Pair), ("client", Same::Client), ("server", Same::Server)];
    AlarmOptions {
        severity_min: table.choice(reader, "severity_min", &severities).unwrap_or(Severity::Medium),
        same: table.choice(reader, "same", &same).unwrap_or_default(),
        window: seconds(reader, table, "window_s", 300),
        per_minute: table
            .number(reader, "per_minute", 1..=1_000_000)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(60),
    }
}

fn nats(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    Kind::Nats(NatsOptions {
        urls: table.texts(reader, "urls", "[\"nats://localhost:4222\"]"),
        subject: table.text(reader, "subject").unwrap_or_else(|| "daylight.flows".to_owned()),
        stream: table.text(reader, "stream").unwrap_or_else(|| "DAYLIGHT".to_owned()),
        keep: seconds(reader, table, "keep_s", 0),
        duplicate_window: seconds(reader, table, "duplicate_window_s", 3600),
        credentials: table.path(reader, "credentials_file"),
        user: user(reader, table),
        token: table.secret(reader, "token_file"),
        tls: optional_tls(reader, table),
    })
}

fn kafka(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    let mechanisms =
        [("plain", Sasl::Plain), ("scram-sha-256", Sasl::Scram256), ("scram-sha-512", Sasl::Scram512)];
    let brokers = table.texts(reader, "brokers", "[\"localhost:9092\"]");
    let topic = table.text(reader, "topic").unwrap_or_else(|| "daylight-flows".to_owned());
    let mechanism = table.choice(reader, "mechanism", &mechanisms).unwrap_or(Sasl::Scram512);
    let user = user(reader, table).map(|(user, password)| (user, password, mechanism));
    let tls = optional_tls(reader, table);
    if matches!(user, Some((_, _, Sasl::Plain))) && tls.is_none() {
        reader.problem(
            table.place("mechanism"),
            "`plain` tells the password to everybody on the way: add tls = true",
        );
    }
    Kind::Kafka(KafkaOptions { brokers, topic, user, tls })
}

fn clickhouse(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    let options = ClickHouseOptions {
        url: url(reader, table, "\"http://localhost:8123\""),
        database: table.text(reader, "database").unwrap_or_else(|| "daylight".to_owned()),
        table: table.text(reader, "table").unwrap_or_else(|| "flows_local".to_owned()),
        user: user(reader, table),
        tls: tls(reader, table),
    };
    for (key, name) in [("database", &options.database), ("table", &options.table)] {
        if !crate::clickhouse::is_identifier(name) {
            reader.problem(
                table.place(key),
                format!("`{key}` is letters, digits and _, and begins with no digit"),
            );
        }
    }
    Kind::ClickHouse(options)
}

fn ipfix(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    let over = [("udp", 0), ("tcp", 1), ("file", 2)];
    let over = table.choice(reader, "over", &over).unwrap_or(0);
    let to = match over {
        2 => {
            let path = table.required(reader, "path", "\"flows.ipfix\"");
            IpfixTo::File(reader.folder.join(path))
        }
        1 => IpfixTo::Tcp(host_and_port(reader, table, "address", "\"collector:4739\"")),
        _ => IpfixTo::Udp(host_and_port(reader, table, "address", "\"collector:4739\"")),
    };
    let number = |reader: &mut Reader<'_>, table: &mut Table<'_, '_>, key, range, default: u32| {
        table.number(reader, key, range).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    };
    Kind::Ipfix(IpfixOptions {
        to,
        pen: number(reader, table, "pen", 1..=u32::MAX.into(), PEN_EXAMPLE),
        domain: number(reader, table, "domain", 0..=u32::MAX.into(), 0),
        message_bytes_max: number(reader, table, "message_bytes_max", 512..=65_000, 1400) as usize,
        template_interval: seconds(reader, table, "template_interval_s", 60),
    })
}

fn syslog(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    let over = [("udp", 0), ("tcp", 1), ("tls", 2), ("unix", 3)];
    let to = match table.choice(reader, "over", &over).unwrap_or(0) {
        3 => SyslogTo::Unix(table.path(reader, "path").unwrap_or_else(|| "/dev/log".into())),
        2 => {
            let address = host_and_port(reader, table, "address", "\"siem:6514\"");
            SyslogTo::Tls(address, tls(reader, table))
        }
        1 => SyslogTo::Tcp(host_and_port(reader, table, "address", "\"siem:601\"")),
        _ => SyslogTo::Udp(host_and_port(reader, table, "address", "\"siem:514\"")),
    };
    let facility = table.number(reader, "facility", 0..=23).and_then(|n| u8::try_from(n).ok()).unwrap_or(16);
    Kind::Syslog(SyslogOptions { to, facility }, alarms(reader, table))
}

fn webhook(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    let url = url(reader, table, "\"https://example.org/hook\"");
    // Keys are handed out as `whsec_` and Base64.
    let secret = table.secret(reader, "secret_file").and_then(|text| match text.strip_prefix("whsec_") {
        Some(encoded) => match BASE64_STANDARD.decode(encoded) {
            Ok(secret) => Some(Secret::from(secret)),
            Err(error) => {
                reader.problem(
                    table.place("secret_file"),
                    format!("what follows `whsec_` is no Base64: {error}"),
                );
                None
            }
        },
        None => Some(text.to_string().into_bytes().into()),
    });
    if secret.as_ref().is_some_and(|secret| secret.len() < 16) {
        reader.problem(
            table.place("secret_file"),
            "a key of fewer than 16 bytes can be guessed: use 32 random ones",
        );
    }
    let tls = tls(reader, table);
    Kind::Webhook(WebhookOptions { url, secret, tls }, alarms(reader, table))
}

fn otlp(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    let options = OtlpOptions {
        url: url(reader, table, "\"http://localhost:4318/v1/logs\""),
        headers: table.pairs(reader, "headers"),
        tls: tls(reader, table),
    };
    Kind::Otlp(options, alarms(reader, table))
}

fn s3(reader: &mut Reader<'_>, table: &mut Table<'_, '_>) -> Kind {
    Kind::S3(S3Options {
        url: url(reader, table, "\"https://s3.example.org\""),
        bucket: table.required(reader, "bucket", "\"flows\""),
        region: table.text(reader, "region").unwrap_or_else(|| "us-east-1".to_owned()),
        prefix: table.text(reader, "prefix").unwrap_or_default(),
        path_style: table.flag(reader, "path_style").unwrap_or(true),
        access_key: table.text(reader, "access_key"),
        secret_key: table.secret(reader, "secret_key_file"),
        settle: seconds(reader, table, "settle_s", 3600),
        tls: tls(reader, table),
    })
}
