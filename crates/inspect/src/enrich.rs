//! From names and addresses to applications, and to what the indicator lists say of them.

use daylight_protocols::web::tls::fields::{CERT_CN, CERT_SHA1, CERT_SHA256};
use daylight_protocols::{Confidence, FieldRef, ProtocolId, common};

use crate::config::Config;
use crate::record::FlowRecord;

/// Fields that hold certificates' fingerprints.
pub(crate) const CERTIFICATE_HASHES: &[FieldRef] = &[CERT_SHA1, CERT_SHA256];

/// What the flow itself tells: its host name, else the name of the server's certificate, its ALPN, its fingerprints.
pub(crate) fn add(record: &mut FlowRecord, config: &Config) {
    let catalog = &config.catalog;
    // A client that asks for no name is told one by the certificate.
    let named = record.text(common::HOSTNAME).or_else(|| record.text(CERT_CN));
    let app = named
        .and_then(|name| catalog.by_host(name.strip_prefix("*.").unwrap_or(name)))
        .or_else(|| record.text(common::ALPN).and_then(|alpn| catalog.by_alpn(alpn)));
    if let Some(name) = record.found.application {
        record.application = Some(name);
        record.category = catalog.by_name(name).map(|app| catalog.app(app).category);
    } else if let Some(app) = app {
        let app = catalog.app(app);
        record.application = Some(app.name);
        record.category = Some(app.category);
    }
    if let Some(indicators) = &config.indicators {
        indicators.check(record);
    }
}

/// What other flows told, and else the address.
pub(crate) fn correlated(record: &mut FlowRecord, config: &Config) {
    if let Some(indicators) = &config.indicators {
        indicators.check_resolved(record);
    }
    if record.application.is_some() {
        return;
    }
    let catalog = &config.catalog;
    let by_name = record.resolved_name.as_deref().and_then(|name| catalog.by_host(name));
    let by_address = || catalog.by_address(record.ends.dst_ip);
    let (app, confidence) = match by_name {
        Some(app) => (app, Confidence::Correlation),
        None => match by_address() {
            Some(app) => (app, Confidence::Address),
            None => return,
        },
    };
    let app = catalog.app(app);
    record.application = Some(app.name);
    record.category = Some(app.category);
    if record.protocol == ProtocolId::Unknown {
        record.confidence = confidence;
    }
}
