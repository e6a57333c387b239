//! What is written reads back as it was.

use daylight_verdict::extras::{AddressKind, Extras, NameKind, TlsCell};
use daylight_verdict::ooni::{
    Answer, Body, Control, ControlHttp, ControlRequest, ControlTls, Failure, Measurement, Query, Response,
    TcpConnect, TcpStatus, TestKeys, TlsHandshake, Transaction, read, write,
};
use daylight_verdict::record::Blocking;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn failure() -> impl Strategy<Value = Option<Failure>> {
    option::of(prop_oneof![
        proptest::sample::select(Failure::NAMED),
        "[ -~]{1,40}".prop_map(|text| Failure::unknown(&text)),
    ])
}

fn body() -> impl Strategy<Value = Body> {
    vec(any::<u8>(), 0..40).prop_map(|bytes| Body::from_bytes(&bytes))
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    vec("(classic|depth=[0-9]|fetch_body=(true|false))", 0..3)
}

fn time() -> impl Strategy<Value = f64> {
    (0_u32..1_000_000).prop_map(|ms| f64::from(ms) / 1000.0)
}

prop_compose! {
    fn query()(
        addresses in vec(any::<std::net::IpAddr>(), 0..4),
        asn in option::of(any::<u32>()),
        failure in failure(),
        hostname in "[a-zа-я.]{0,12}",
        tags in tags(),
        t0 in option::of(time()),
        transaction_id in 0_i64..100_000,
    ) -> Query {
        let answer = |address: &std::net::IpAddr| Answer {
            asn,
            answer_type: if address.is_ipv4() { "A" } else { "AAAA" }.into(),
            ipv4: address.is_ipv4().then(|| address.to_string()),
            ipv6: address.is_ipv6().then(|| address.to_string()),
            ttl: Some(300),
            ..Answer::default()
        };
        Query {
            answers: addresses.iter().map(answer).collect(),
            engine: "getaddrinfo".into(),
            query_type: "ANY".into(),
            failure, hostname, tags, t0, transaction_id,
            ..Query::default()
        }
    }
}

prop_compose! {
    fn tcp()(ip: std::net::IpAddr, port: u16, failure in failure(), tags in tags(), t in time()) -> TcpConnect {
        let status = TcpStatus { blocked: None, success: failure.is_none(), failure };
        TcpConnect { ip: ip.to_string(), port, status, tags, t, ..TcpConnect::default() }
    }
}

prop_compose! {
    fn tls()(address in "[0-9.:]{0,20}", failure in failure(), certificates in vec(body(), 0..3)) -> TlsHandshake {
        TlsHandshake { address, failure, peer_certificates: certificates, ..TlsHandshake::default() }
    }
}

prop_compose! {
    fn transaction()(
        failure in failure(),
        body in body(),
        code in -1_i64..600,
        headers in btree_map("[A-Za-z-]{1,8}", body(), 0..4),
        truncated: bool,
    ) -> Transaction {
        let headers_list = headers.clone().into_iter().collect();
        let response = Response { body, body_is_truncated: truncated, code, headers_list, headers };
        Transaction { failure, response, ..Transaction::default() }
    }
}

prop_compose! {
    fn control()(
        handshakes in btree_map("[0-9.:]{1,9}", failure(), 0..3),
        title in ".{0,20}",
        length in -1_i64..100_000,
    ) -> Control {
        let handshake = |(address, failure): (String, Option<Failure>)| {
            (address, ControlTls { server_name: "a".into(), status: Some(failure.is_none()), failure })
        };
        Control {
            tls_handshake: handshakes.into_iter().map(handshake).collect(),
            http_request: ControlHttp { title, body_length: length, ..ControlHttp::default() },
            ..Control::default()
        }
    }
}

prop_compose! {
    fn extras()(failure in failure(), valid in option::of(any::<bool>()), t_ms in time()) -> Extras {
        let cell = TlsCell {
            name: NameKind::Split,
            server_name: "example.org".into(),
            at: AddressKind::Control,
            address: "[2001:db8::1]:443".into(),
            attempt: 1,
            connected: true,
            alert: Some(112),
            failure,
            valid_for_target: valid,
            certificate: None,
            issuer: None,
            t_ms,
            connect_ms: Some(1.5),
            handshake_ms: None,
        };
        Extras { version: 1, tls_matrix: vec![cell], ..Extras::default() }
    }
}

prop_compose! {
    fn keys()(
        queries in vec(query(), 0..4),
        tcp_connect in vec(tcp(), 0..4),
        tls_handshakes in vec(tls(), 0..4),
        requests in vec(transaction(), 0..4),
        control in option::of(control()),
        control_failure in failure(),
        blocking in proptest::sample::select(vec![
            Blocking::Unknown, Blocking::None, Blocking::Dns, Blocking::TcpIp, Blocking::HttpFailure, Blocking::HttpDiff,
        ]),
        accessible in option::of(any::<bool>()),
        extras in option::of(extras()),
    ) -> TestKeys {
        let x_control_request = control.is_some().then(ControlRequest::default);
        let x_daylight = extras.map(Box::new);
        TestKeys {
            queries, tcp_connect, tls_handshakes, requests, control, control_failure, blocking, accessible,
            x_control_request, x_daylight,
            ..TestKeys::default()
        }
    }
}

proptest! {
    #[test]
    fn a_measurement_survives_its_line(input in option::of(".{0,30}"), asn: u32, test_keys in keys()) {
        let measurement =
            Measurement { input, probe_asn: format!("AS{asn}"), test_keys, ..Measurement::default() };
        let mut line = Vec::new();
        write(&measurement, &mut line).unwrap();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let again = read(&line).unwrap();
        prop_assert!(again.notes.is_empty(), "{:?}", again.notes);
        prop_assert_eq!(again.measurement, measurement);
    }

    #[test]
    fn whatever_kind_a_value_is_of_the_rest_is_read(at in 0_usize..24, value in "(7|1\\.5|-1|true|\"a\"|\\[\\]|\\[1\\]|\\{\\}|\\{\"a\":1\\})") {
        const KEYS: [&str; 12] = [
            "queries", "requests", "tcp_connect", "tls_handshakes", "control", "control_failure", "accessible",
            "blocking", "x_daylight", "agent", "body_proportion", "x_dns_duplicate_responses",
        ];
        let json = if at < 12 {
            format!("{{\"test_keys\": {{\"{}\": {value}}}, \"probe_cc\": \"IT\"}}", KEYS[at])
        } else {
            format!("{{\"test_keys\": {{\"queries\": [{{\"{}\": {value}}}]}}, \"probe_cc\": \"IT\"}}",
                ["answers", "failure", "t", "tags", "hostname", "engine"][at % 6])
        };
        prop_assert_eq!(read(json.as_bytes()).unwrap().measurement.probe_cc, "IT");
    }
}
