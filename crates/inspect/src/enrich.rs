//! From names and addresses to applications, and to what the indicator lists say of them.

use daylight_protocols::web::tls::fields::{CERT_CN, CERT_SHA1, CERT_SHA256};
use daylight_protocols::{Confidence, FieldRef, ProtocolId, common};

use crate::catalog::{AppId, Catalog};
use crate::config::Config;
use crate::record::FlowRecord;

/// Fields that hold certificates' fingerprints.
pub(crate) const CERTIFICATE_HASHES: &[FieldRef] = &[CERT_SHA1, CERT_SHA256];

/// What the flow itself tells: its host name, else the name of the server's certificate, its ALPN, its fingerprints.
pub(crate) fn add(record: &mut FlowRecord, config: &Config) {
    let catalog = &config.catalog;
    let app = named(record.text(common::HOSTNAME), record.text(CERT_CN), catalog)
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

/// By the host name. A client that asks for no name is told one by the server's certificate.
fn named(host: Option<&str>, certificate: Option<&str>, catalog: &Catalog) -> Option<AppId> {
    let name = host.or(certificate)?;
    catalog.by_host(name.strip_prefix("*.").unwrap_or(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn app(host: Option<&str>, certificate: Option<&str>) -> Option<&'static str> {
        named(host, certificate, &Catalog::builtin()).map(|app| Catalog::builtin().app(app).name)
    }

    #[test]
    fn a_certificate_names_the_application_only_where_no_name_was_asked_for() {
        assert_eq!(app(Some("www.wikipedia.org"), None), Some("wikipedia"));
        assert_eq!(app(None, Some("*.wikipedia.org")), Some("wikipedia"));
        assert_eq!(app(Some("example.org"), Some("*.wikipedia.org")), None);
        assert_eq!(app(None, None), None);
    }
}
