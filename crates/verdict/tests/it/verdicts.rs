//! Situations of our own making, each with the verdict that is right and with OONI's own.

use daylight_verdict::Classifier;
use daylight_verdict::extras::{
    AddressKind, ControlVisit, DnsReply, Extras, HttpCell, NameKind, QueryKind, QuicCell, QuicKind,
    ResolverKind, ThrottlingPair, TlsCell, Transfer, When,
};
use daylight_verdict::fingerprint::Fingerprints;
use daylight_verdict::ooni::Failure;
use daylight_verdict::record::{self, Record};
use daylight_verdict::rules::Rules;
use serde_json::{Value, json};

const ADDRESS: &str = "93.184.215.14";
const OTHER: &str = "130.192.91.7";

/// A visit to an https page that goes well, and that the control made too.
fn visit() -> Value {
    json!({
        "input": "https://site.example/", "test_name": "web_connectivity", "test_version": "0.5.28",
        "measurement_start_time": "2024-02-12 20:33:47", "probe_asn": "AS64500", "probe_cc": "XA",
        "test_keys": {
            "queries": [query("getaddrinfo", ADDRESS, 0, 1), query("udp", ADDRESS, 0, 2), query("doh", ADDRESS, 0, 3)],
            "tcp_connect": [tcp(ADDRESS, 443, 0, 4, Value::Null)],
            "tls_handshakes": [tls(ADDRESS, 0, 4, Value::Null)],
            "requests": [page("https://site.example/", ADDRESS, 443, 0, 4)],
            "x_control_request": { "http_request": "https://site.example/" },
            "control": {
                "dns": { "failure": null, "addrs": [ADDRESS] },
                "tcp_connect": { format!("{ADDRESS}:443"): { "status": true, "failure": null },
                                 format!("{ADDRESS}:80"): { "status": true, "failure": null } },
                "tls_handshake": { format!("{ADDRESS}:443"):
                    { "server_name": "site.example", "status": true, "failure": null } },
                "http_request": { "failure": null, "status_code": 200, "body_length": 1000,
                    "title": "Welcome to the festival", "headers": { "X-Site": "1", "Date": "x" } },
            },
            "control_failure": null,
        }
    })
}

/// The same over plain HTTP.
fn plain_visit() -> Value {
    let mut visit = visit();
    let keys = &mut visit["test_keys"];
    keys["tcp_connect"] = json!([tcp(ADDRESS, 80, 0, 5, Value::Null)]);
    keys["tls_handshakes"] = json!([]);
    keys["requests"] = json!([page("http://site.example/", ADDRESS, 80, 0, 5)]);
    keys["x_control_request"]["http_request"] = json!("http://site.example/");
    visit["input"] = json!("http://site.example/");
    visit
}

fn tags(depth: u32) -> Value {
    json!([format!("depth={depth}"), "classic", "fetch_body=true"])
}

fn query(engine: &str, address: &str, depth: u32, id: u32) -> Value {
    json!({ "engine": engine, "hostname": "site.example", "query_type": "A", "failure": null, "transaction_id": id,
            "answers": [{ "answer_type": "A", "ipv4": address }], "tags": tags(depth) })
}

fn tcp(ip: &str, port: u16, depth: u32, id: u32, failure: Value) -> Value {
    json!({ "ip": ip, "port": port, "status": { "success": failure.is_null(), "failure": failure },
            "tags": tags(depth), "transaction_id": id })
}

fn tls(ip: &str, depth: u32, id: u32, failure: Value) -> Value {
    json!({ "address": format!("{ip}:443"), "server_name": "site.example", "failure": failure, "tags": tags(depth),
            "transaction_id": id })
}

fn page(url: &str, ip: &str, port: u16, depth: u32, id: u32) -> Value {
    let body = format!("<title>Welcome to the festival</title>{}", "x".repeat(960));
    json!({ "address": format!("{ip}:{port}"), "failure": null, "request": { "url": url }, "tags": tags(depth),
            "response": { "code": 200, "body": body, "headers": { "X-Site": "1", "Date": "x" } },
            "transaction_id": id })
}

fn judged(measurement: &Value) -> Record {
    let read = daylight_verdict::ooni::read(measurement.to_string().as_bytes()).unwrap();
    assert!(read.notes.is_empty(), "{:?}", read.notes);
    let classifier = Classifier::new(Rules::own().unwrap(), Fingerprints::own(), false);
    classifier.classify(&read.measurement, record::Measurement::default()).unwrap()
}

#[track_caller]
fn check(measurement: &Value, state: &str, mechanism: &str, classic: Value) {
    let record = judged(measurement);
    let found = record.mechanism.as_ref().map_or("", |term| term.as_str());
    let fired: Vec<_> = record.fired.iter().map(|fired| fired.rule.as_str()).collect();
    assert_eq!((record.state.as_str(), found), (state, mechanism), "{fired:?}");
    let own = serde_json::to_value(record.classic).unwrap();
    let told = json!([own["blocking"], own["accessible"], own["dns_consistency"]]);
    assert_eq!(told, classic, "OONI's own");
}

fn with(mut measurement: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut measurement["test_keys"]);
    measurement
}

#[test]
fn what_works_is_ok() {
    check(&visit(), "ok", "", json!([false, true, "consistent"]));
    check(&plain_visit(), "ok", "", json!([false, true, "consistent"]));
}

#[test]
fn androids_resolver_that_says_no_data_says_that_the_name_does_not_exist() {
    let blocked = with(visit(), |keys| {
        keys["queries"][0]["failure"] = json!("android_dns_cache_no_data");
        keys["queries"][0]["answers"] = json!(null);
        keys["tcp_connect"][0]["tags"] = json!(["depth=0", "fetch_body=true"]);
    });
    check(&blocked, "likely-blocked", "dns.nxdomain", json!(["dns", false, "inconsistent"]));
}

#[test]
fn a_resolver_that_fails_alone_is_not_yet_blocking() {
    let unclear = with(visit(), |keys| {
        keys["queries"][0]["failure"] = json!("dns_servfail_error");
        keys["queries"][0]["answers"] = json!(null);
    });
    check(&unclear, "impaired", "dns.failure", json!(["dns", false, "inconsistent"]));
}

#[test]
fn a_reset_over_plain_http_is_blocking_where_the_control_gets_the_page() {
    let cut = |failure: &str| {
        with(plain_visit(), |keys| {
            keys["requests"][0]["failure"] = json!(failure);
            keys["requests"][0]["response"] = json!({ "code": 0 });
        })
    };
    check(
        &cut("connection_reset"),
        "likely-blocked",
        "http.reset",
        json!(["http-failure", false, "consistent"]),
    );
    check(&cut("eof_error"), "likely-blocked", "http.close", json!(["http-failure", false, "consistent"]));
    check(
        &cut("generic_timeout_error"),
        "likely-blocked",
        "http.timeout",
        json!(["http-failure", false, "consistent"]),
    );
    let down = with(cut("connection_reset"), |keys| {
        keys["control"]["http_request"] = json!({ "failure": "connection_reset", "status_code": -1 });
    });
    check(&down, "down", "", json!([false, false, "consistent"]));
}

#[test]
fn another_page_over_plain_http_is_held_against_the_network_unless_the_site_sent_it() {
    let denied = |headers: Value, body: &str| {
        with(plain_visit(), |keys| {
            keys["requests"][0]["response"] = json!({ "code": 403, "body": body, "headers": headers });
        })
    };
    let diff = json!(["http-diff", false, "consistent"]);
    check(
        &denied(json!({}), "<title>Forbidden by order</title>"),
        "likely-blocked",
        "http.diff",
        diff.clone(),
    );
    check(
        &denied(json!({ "X-Site": "1" }), "<title>Not from there</title>"),
        "insufficient",
        "",
        diff.clone(),
    );
    check(&denied(json!({}), "<title>Please Wait... | Cloudflare</title>"), "insufficient", "", diff.clone());
    check(
        &denied(json!({}), "<iframe src=http://10.10.34.34>"),
        "blocked",
        "http.blockpage.fingerprint",
        diff,
    );
    let redirected = with(plain_visit(), |keys| {
        keys["requests"][0]["response"] =
            json!({ "code": 302, "body": "", "headers": { "Location": "http://82.209.230.23/?x" } });
    });
    check(&redirected, "blocked", "http.blockpage.fingerprint", json!([null, null, "consistent"]));
}

#[test]
fn a_certificate_fault_that_the_control_has_too_is_the_sites_own() {
    let wrong = with(visit(), |keys| {
        keys["tls_handshakes"][0]["failure"] = json!("ssl_invalid_hostname");
        keys["requests"] = json!([]);
        keys["control"]["tls_handshake"][format!("{ADDRESS}:443")]["failure"] = json!("ssl_invalid_hostname");
        keys["control"]["http_request"] = json!({ "failure": "unknown_error", "status_code": -1 });
    });
    check(&wrong, "down", "", json!([false, false, "consistent"]));
    let forged = with(visit(), |keys| {
        keys["tls_handshakes"][0]["failure"] = json!("ssl_unknown_authority");
        keys["requests"] = json!([]);
    });
    check(&forged, "blocked", "tls.mitm", json!(["http-failure", false, "consistent"]));
}

#[test]
fn an_address_in_another_network_with_the_right_certificate_is_the_right_one() {
    let elsewhere = with(visit(), |keys| {
        keys["queries"][0] = query("getaddrinfo", OTHER, 0, 1);
        keys["tcp_connect"] = json!([tcp(OTHER, 443, 0, 4, Value::Null)]);
        keys["tls_handshakes"] = json!([tls(OTHER, 0, 4, Value::Null)]);
        keys["requests"] = json!([page("https://site.example/", OTHER, 443, 0, 4)]);
    });
    check(&elsewhere, "ok", "", json!([false, true, "inconsistent"]));
}

#[test]
fn a_site_that_is_down_for_all_is_down() {
    let nowhere = with(visit(), |keys| {
        for query in keys["queries"].as_array_mut().unwrap() {
            query["failure"] = json!("dns_nxdomain_error");
            query["answers"] = json!(null);
        }
        keys["tcp_connect"] = json!([]);
        keys["tls_handshakes"] = json!([]);
        keys["requests"] = json!([]);
        keys["control"]["dns"] = json!({ "failure": "dns_name_error", "addrs": [] });
        keys["control"]["http_request"] = json!({ "failure": "dns_lookup_error", "status_code": -1 });
    });
    check(&nowhere, "down", "", json!([false, false, "consistent"]));
    let silent = with(visit(), |keys| {
        keys["tcp_connect"] = json!([tcp(ADDRESS, 443, 0, 4, json!("generic_timeout_error"))]);
        keys["tls_handshakes"] = json!([]);
        keys["requests"] = json!([]);
        keys["control"]["tcp_connect"][format!("{ADDRESS}:443")] =
            json!({ "status": false, "failure": "generic_timeout_error" });
        keys["control"]["tls_handshake"] = json!({});
        keys["control"]["http_request"] = json!({ "failure": "generic_timeout_error", "status_code": -1 });
    });
    check(&silent, "down", "", json!([false, false, "consistent"]));
}

#[test]
fn without_a_control_a_failure_says_nothing() {
    let alone = with(visit(), |keys| {
        keys["tls_handshakes"][0]["failure"] = json!("connection_reset");
        keys["requests"] = json!([]);
        keys["control"] = json!(null);
        keys["control_failure"] = json!("connection_reset");
    });
    check(&alone, "insufficient", "", json!([null, null, null]));
    let reached = with(visit(), |keys| {
        keys["control"] = json!(null);
        keys["control_failure"] = json!("connection_reset");
    });
    check(&reached, "ok", "", json!([false, true, null]));
}

#[test]
fn broken_ipv6_is_no_blocking() {
    let no_ipv6 = with(visit(), |keys| {
        let v6 = json!({ "ip": "2606:2800:21f::1", "port": 443, "tags": tags(0), "transaction_id": 9,
            "status": { "success": false, "failure": "network_unreachable" } });
        keys["tcp_connect"].as_array_mut().unwrap().push(v6);
    });
    check(&no_ipv6, "ok", "", json!([false, true, "consistent"]));
}

#[test]
fn measurements_of_0_4_are_judged_as_0_4_judged() {
    let old = |mut measurement: Value| {
        measurement["test_version"] = json!("0.4.2");
        measurement["test_keys"].as_object_mut().unwrap().remove("x_control_request");
        measurement
    };
    check(&old(visit()), "ok", "", json!([false, true, "consistent"]));
    let reset = old(with(plain_visit(), |keys| {
        keys["requests"][0]["failure"] = json!("connection_reset");
        keys["requests"][0]["response"] = json!({ "code": 0 });
    }));
    check(&reset, "likely-blocked", "http.reset", json!(["http-failure", false, "consistent"]));
    let silent = old(with(visit(), |keys| {
        keys["tcp_connect"][0]["status"] = json!({ "success": false, "failure": "generic_timeout_error" });
        keys["tls_handshakes"] = json!([]);
        keys["requests"][0]["failure"] = json!("generic_timeout_error");
        keys["requests"][0]["response"] = json!({ "code": 0 });
    }));
    check(&silent, "likely-blocked", "ip.blackhole", json!(["tcp_ip", false, "consistent"]));
    // A name that exists nowhere is accessible, for 0.4.
    let nowhere = old(with(visit(), |keys| {
        keys["queries"] = json!([{ "engine": "system", "hostname": "site.example", "query_type": "A",
            "failure": "dns_nxdomain_error", "answers": null }]);
        keys["tcp_connect"] = json!([]);
        keys["tls_handshakes"] = json!([]);
        keys["requests"] =
            json!([{ "failure": "dns_nxdomain_error", "request": { "url": "https://site.example/" } }]);
        keys["control"]["dns"] = json!({ "failure": "dns_name_error", "addrs": [] });
        keys["control"]["http_request"] = json!({ "failure": "dns_lookup_error", "status_code": -1 });
    }));
    check(&nowhere, "down", "", json!([false, true, "consistent"]));
}

fn cell(name: NameKind, at: AddressKind, failure: Option<Failure>) -> TlsCell {
    TlsCell {
        name,
        server_name: "a".into(),
        at,
        address: format!("{ADDRESS}:443"),
        attempt: 0,
        connected: true,
        valid_for_target: failure.is_none().then_some(true),
        failure,
        alert: None,
        certificate: None,
        issuer: None,
        t_ms: 0.0,
        connect_ms: None,
        handshake_ms: None,
    }
}

fn with_extras(visit: Value, extras: &Extras) -> Value {
    with(visit, |keys| keys["x_daylight"] = serde_json::to_value(extras).unwrap())
}

fn reset_visit() -> Value {
    with(visit(), |keys| {
        keys["tls_handshakes"][0]["failure"] = json!("connection_reset");
        keys["requests"] = json!([]);
    })
}

#[test]
fn the_matrix_tells_a_blocked_name_from_a_blocked_address() {
    use AddressKind::{Control as Elsewhere, Target as Here};
    let reset = || Some(Failure::ConnectionReset);
    let matrix = |cells: [(NameKind, AddressKind, Option<Failure>); 4]| Extras {
        tls_matrix: cells.into_iter().map(|(name, at, failure)| cell(name, at, failure)).collect(),
        ..Extras::default()
    };
    let classic = json!(["http-failure", false, "consistent"]);
    let by_name = matrix([
        (NameKind::Target, Here, reset()),
        (NameKind::Target, Elsewhere, reset()),
        (NameKind::Control, Here, None),
        (NameKind::Control, Elsewhere, None),
    ]);
    check(&with_extras(reset_visit(), &by_name), "blocked", "tls.reset.sni", classic.clone());
    let by_address = matrix([
        (NameKind::Target, Here, reset()),
        (NameKind::Target, Elsewhere, None),
        (NameKind::Control, Here, reset()),
        (NameKind::Control, Elsewhere, None),
    ]);
    check(&with_extras(reset_visit(), &by_address), "likely-blocked", "ip.handshake", classic);
}

#[test]
fn lost_packets_in_the_matrix_decide_nothing() {
    let mut cells = Vec::new();
    for at in [AddressKind::Target, AddressKind::Control] {
        for name in [NameKind::Target, NameKind::Control] {
            cells.push(cell(name, at, None));
            cells.push(cell(name, at, (name == NameKind::Target).then_some(Failure::GenericTimeout)));
        }
    }
    let extras = Extras { tls_matrix: cells, ..Extras::default() };
    check(&with_extras(visit(), &extras), "ok", "", json!([false, true, "consistent"]));
}

/// After the name was reset, the next attempts aren't even connected; and the visit to the control stands for the innocuous
/// name at its own address.
#[test]
fn a_block_that_lingers_is_still_of_the_name() {
    let (here, elsewhere) = (AddressKind::Target, AddressKind::Control);
    let refused = |name, at| TlsCell { connected: false, ..cell(name, at, Some(Failure::ConnectionRefused)) };
    let cells = vec![
        cell(NameKind::Control, here, None),
        refused(NameKind::Target, here),
        refused(NameKind::Target, here),
        cell(NameKind::Target, elsewhere, Some(Failure::ConnectionReset)),
        refused(NameKind::Target, elsewhere),
    ];
    let visit = |as_expected| ControlVisit {
        when: When::Before,
        url: "https://control.example/".into(),
        failure: None,
        as_expected,
        took_ms: 1.0,
    };
    let extras = Extras { tls_matrix: cells, controls: vec![visit(true)], ..Extras::default() };
    let classic = json!(["http-failure", false, "consistent"]);
    check(&with_extras(reset_visit(), &extras), "blocked", "tls.reset.sni", classic);
}

/// `Connection` and `Content-Length` are everybody's, and two titles without a long word have nothing in common.
#[test]
fn a_forged_page_is_not_the_sites_for_its_framing() {
    let forged = with(plain_visit(), |keys| {
        keys["requests"][0]["response"] = json!({ "code": 200, "body": "<title>No</title>Not here.",
            "headers": { "Connection": "close", "Content-Length": "26", "Content-Type": "text/html" } });
        let control = &mut keys["control"]["http_request"];
        control["title"] = json!("News");
        control["headers"] =
            json!({ "Connection": "close", "Content-Length": "1000", "Server": "x", "X-Site": "1" });
    });
    // OONI takes both for signs that it is the same page.
    check(&forged, "likely-blocked", "http.diff", json!([false, true, "consistent"]));
}

#[test]
fn throttling_is_told_from_a_slow_server_by_pairs() {
    let pairs = |target: f64, control: f64| Extras {
        throttling: (0..4)
            .map(|index| ThrottlingPair {
                index,
                address: format!("{ADDRESS}:443"),
                target: Transfer {
                    rate_bytes_per_s: target,
                    rtt_min_ms: Some(50.0),
                    bytes: 64 << 10,
                    ..Transfer::default()
                },
                control: Transfer {
                    rate_bytes_per_s: control,
                    rtt_min_ms: Some(48.0),
                    bytes: 64 << 10,
                    ..Transfer::default()
                },
            })
            .collect(),
        ..Extras::default()
    };
    let classic = json!([false, true, "consistent"]);
    check(&with_extras(visit(), &pairs(9e3, 1e5)), "impaired", "tls.throttle.sni", classic.clone());
    check(&with_extras(visit(), &pairs(2e4, 1e5)), "impaired", "tls.throttle.sni", classic.clone());
    check(&with_extras(visit(), &pairs(9e3, 1e4)), "ok", "", classic.clone());
    // What never began is not slow.
    let mut nothing = pairs(0.0, 1e5);
    nothing.throttling.iter_mut().for_each(|pair| pair.target.bytes = 0);
    check(&with_extras(visit(), &nothing), "ok", "", classic.clone());
    // A redirect is no slow page; a page that broke off is.
    let mut short = pairs(9e3, 1e5);
    short.throttling.iter_mut().for_each(|pair| pair.target.bytes = 117);
    check(&with_extras(visit(), &short), "ok", "", classic.clone());
    short.throttling.iter_mut().for_each(|pair| pair.target.failure = Some(Failure::GenericTimeout));
    check(&with_extras(visit(), &short), "impaired", "tls.throttle.sni", classic);
    assert_eq!(judged(&with_extras(visit(), &pairs(9e3, 1e5))).rate_ratio, Some(0.09));
}

#[test]
fn quic_alone_blocked_is_impaired() {
    let cell = |name: NameKind, failure: Option<Failure>| QuicCell {
        kind: QuicKind::Handshake,
        name,
        at: AddressKind::Target,
        address: format!("{ADDRESS}:443"),
        attempt: 0,
        failure,
        took_ms: 1.0,
    };
    let extras = Extras {
        quic: vec![cell(NameKind::Target, Some(Failure::GenericTimeout)), cell(NameKind::Control, None)],
        ..Extras::default()
    };
    check(&with_extras(visit(), &extras), "impaired", "quic.drop.sni", json!([false, true, "consistent"]));
}

/// The system's lookup may time out over a lossy line while its resolver has answered the same question.
#[test]
fn a_lookup_that_got_lost_is_no_blocking() {
    let reply = |query, addrs: &[&str], failure| DnsReply {
        query,
        hostname: "site.example".into(),
        query_type: "A".into(),
        resolver: ResolverKind::System,
        resolver_address: "192.0.2.53:53".into(),
        index: 0,
        addrs: addrs.iter().map(|address| (*address).to_owned()).collect(),
        cnames: Vec::new(),
        rcode: None,
        extended_error: None,
        failure,
        ip_ttl: None,
        took_ms: 1.0,
        late: false,
    };
    let lost = with(reset_visit(), |keys| {
        keys["queries"][0]["failure"] = json!("generic_timeout_error");
        keys["queries"][0]["answers"] = json!(null);
        keys["tls_handshakes"] = json!([]);
    });
    let extras =
        |target| Extras { dns: vec![target, reply(QueryKind::Control, &[OTHER], None)], ..Extras::default() };
    let classic = || json!(["dns", false, "inconsistent"]);
    let answered = extras(reply(QueryKind::Target, &[ADDRESS], None));
    check(&with_extras(lost.clone(), &answered), "impaired", "dns.failure", classic());
    let silent = extras(reply(QueryKind::Target, &[], Some(Failure::GenericTimeout)));
    check(&with_extras(lost, &silent), "likely-blocked", "dns.failure", classic());
}

/// A page that nothing says to be the site's: the same name at the control's address tells who answers.
#[test]
fn a_page_for_one_country_is_told_from_one_for_a_name() {
    let page = "<title>Notice</title>Not here.";
    let odd = with(plain_visit(), |keys| {
        keys["requests"][0]["response"] = json!({ "code": 200, "body": page, "headers": { "Server": "x" } });
    });
    let extras = |body: &str, failure: Option<Failure>| Extras {
        http: vec![HttpCell {
            name: NameKind::Target,
            at: AddressKind::Control,
            address: format!("{OTHER}:80"),
            status_code: failure.is_none().then_some(200),
            failure,
            location: None,
            body: body.into(),
            changed_headers: Vec::new(),
            took_ms: 1.0,
        }],
        ..Extras::default()
    };
    let classic = || json!(["http-diff", false, "consistent"]);
    let own = extras("<title>An encyclopedia</title>", None);
    check(&with_extras(odd.clone(), &own), "insufficient", "", classic());
    check(&with_extras(odd.clone(), &extras(page, None)), "likely-blocked", "http.diff", classic());
    let reset = extras("", Some(Failure::ConnectionReset));
    check(&with_extras(odd, &reset), "likely-blocked", "http.diff", classic());
}

/// Silence over QUIC is the network's doing only where somebody else gets an answer.
#[test]
fn quic_that_only_the_control_gets_is_impaired() {
    let cell = |kind, name| QuicCell {
        kind,
        name,
        at: AddressKind::Target,
        address: format!("{ADDRESS}:443"),
        attempt: 0,
        failure: Some(Failure::GenericTimeout),
        took_ms: 5000.0,
    };
    let extras = Extras {
        quic: vec![
            cell(QuicKind::Handshake, NameKind::Target),
            cell(QuicKind::Handshake, NameKind::Control),
            cell(QuicKind::VersionNegotiation, NameKind::None),
        ],
        ..Extras::default()
    };
    let classic = || json!([false, true, "consistent"]);
    check(&with_extras(visit(), &extras), "ok", "", classic());
    let asked = |failure: Value| {
        with(visit(), |keys| {
            keys["control"]["quic_handshake"] = json!({ format!("{ADDRESS}:443"):
                { "server_name": "site.example", "status": failure.is_null(), "failure": failure } });
        })
    };
    check(&with_extras(asked(Value::Null), &extras), "impaired", "quic.drop", classic());
    check(&with_extras(asked(json!("generic_timeout_error")), &extras), "ok", "", classic());
}

/// A name with addresses of one family alone is no name that a resolver refuses, whatever else fails on the visit.
#[test]
fn a_family_without_addresses_is_no_refusal() {
    let reply = |query, kind: &str, addrs: &[&str], failure| DnsReply {
        query,
        hostname: if query == QueryKind::Target { "site.example" } else { "8a3f.com" }.into(),
        query_type: kind.into(),
        resolver: ResolverKind::System,
        resolver_address: "192.0.2.53:53".into(),
        index: 0,
        addrs: addrs.iter().map(|address| (*address).to_owned()).collect(),
        cnames: Vec::new(),
        rcode: Some(0),
        extended_error: None,
        failure,
        ip_ttl: None,
        took_ms: 1.0,
        late: false,
    };
    let extras = |a: DnsReply| Extras {
        dns: vec![
            a,
            reply(QueryKind::Target, "AAAA", &[], Some(Failure::DnsNoAnswer)),
            reply(QueryKind::Control, "A", &[OTHER], None),
            reply(QueryKind::Random, "A", &[], Some(Failure::DnsNxdomain)),
        ],
        ..Extras::default()
    };
    let classic = || json!(["http-failure", false, "consistent"]);
    let answered = extras(reply(QueryKind::Target, "A", &[ADDRESS], None));
    check(&with_extras(reset_visit(), &answered), "likely-blocked", "tls.reset", classic());
    let refused = extras(reply(QueryKind::Target, "A", &[], Some(Failure::DnsNoAnswer)));
    check(&with_extras(reset_visit(), &refused), "likely-blocked", "dns.refused", classic());
}

#[test]
fn a_portal_or_a_dead_network_is_no_verdict() {
    let visits = |failure: Option<Failure>| Extras {
        controls: [When::Before, When::After]
            .into_iter()
            .map(|when| ControlVisit {
                when,
                url: "http://control.example/".into(),
                failure: failure.clone(),
                as_expected: false,
                took_ms: 1.0,
            })
            .collect(),
        ..Extras::default()
    };
    let classic = json!(["http-failure", false, "consistent"]);
    check(&with_extras(reset_visit(), &visits(None)), "insufficient", "", classic.clone());
    check(&with_extras(reset_visit(), &visits(Some(Failure::GenericTimeout))), "insufficient", "", classic);
}
