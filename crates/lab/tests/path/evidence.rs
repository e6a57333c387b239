//! The probe behind adversaries: its evidence names the packets that they put in, and none of the server's.

use std::collections::HashSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_injection::{Analysis, Report, Signatures};
use daylight_packet::is_damaged;
use daylight_probe::control::Helpers;
use daylight_probe::settings::{Settings, Steps};
use daylight_probe::tls::Roots;
use daylight_probe::{Options, Summary, run};
use daylight_verdict::Classifier;
use daylight_verdict::extras::{Extras, TraceStep};
use daylight_verdict::fingerprint::Fingerprints;
use daylight_verdict::ooni;
use daylight_verdict::record::{Method, Record, State};
use daylight_verdict::rules::Rules;

use crate::net::{CLIENT, NEIGHBOUR, Net, SERVER};
use crate::packets::censored;

const NAME: &str = "blocked.example";

/// Answers every question for an IPv4 address with the server's, until it is told to stop.
fn resolve(socket: &UdpSocket, stop: &AtomicBool) {
    let server: Ipv4Addr = SERVER.parse().unwrap();
    let mut query = [0; 512];
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let Ok((n, from)) = socket.recv_from(&mut query) else { continue };
        // Without the OPT record at its end.
        let mut answer = query[..n - 11].to_vec();
        answer[2] |= 0x80;
        answer[11] = 0;
        if answer.ends_with(&[0, 1, 0, 1]) {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(server.octets());
        }
        let _ = socket.send_to(&answer, from);
    }
}

/// Measures the blocked name from the client, with these steps beside an ordinary visit.
fn measure(net: &Net, steps: Steps) -> (Summary, PathBuf) {
    let output = net.dir.path().join("measurements.jsonl");
    let summary = net.within("c", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut settings = Settings::ordinary();
        settings.stand_in = Some(socket.local_addr().unwrap());
        settings.resolvers = Vec::new();
        settings.nameservers = Vec::new();
        settings.control.host = "fine.example".to_owned();
        settings.control.addresses = vec![NEIGHBOUR.parse().unwrap()];
        settings.steps = steps;
        let options = Options {
            targets: vec![format!("https://{NAME}/").parse().unwrap()],
            lists: Vec::new(),
            services: Vec::new(),
            services_text: None,
            without: HashSet::new(),
            seed: Some(1),
            output: output.clone(),
            at_once: 1,
            settings,
            roots: Roots::open(&net.dir.path().join("certificate.pem")).unwrap(),
            helpers: Helpers::default(),
            packets: true,
            version: "0".to_owned(),
        };
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| resolve(&socket, &stop));
            let summary = run(&options, &|_| {}, &AtomicBool::new(false)).unwrap();
            stop.store(true, Ordering::Relaxed);
            summary
        })
    });
    (summary, output)
}

fn read(output: &Path) -> (Extras, Record) {
    let line = std::fs::read(output).unwrap();
    let measurement = ooni::read(&line).unwrap().measurement;
    let classifier = Classifier::new(Rules::own().unwrap(), Fingerprints::own(), false);
    let record = classifier.classify(&measurement, Default::default()).unwrap();
    (*measurement.test_keys.x_daylight.unwrap(), record)
}

fn packets(capture: &Path) -> (Vec<Vec<u8>>, Report) {
    let mut source = daylight_capture::open(capture).unwrap();
    let (mut all, mut analysis) = (Vec::new(), Analysis::new());
    while let Some(batch) = source.next_batch(256).unwrap() {
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            analysis.add(frame.link, bytes, frame.ts_ns, frame.wire_len);
            all.push(bytes.to_vec());
        }
    }
    (all, analysis.finish(&Signatures::own().unwrap()))
}

/// Resets beside the path, with a mark that no host here has: whatever has it is the adversary's, and nothing else.
#[test]
fn the_evidence_names_the_injected_packets_and_no_others() {
    let Some(mut net) = Net::bridged() else { return };
    net.web_server();
    let hop = censored(
        &net,
        &format!(
            "kind = 'tcp-reset'\nmatch.sni = ['{NAME}']\nplace = 'on-path'\nsides = 'client'\n\
             signature = {{ custom = {{ offsets = [0, 1460, 4380], mark = {{ ttl = 99, ip_id = 0x1234, dont_fragment = false }} }} }}"
        ),
    );
    let (summary, output) = measure(&net, Steps { matrix: true, ..Steps::QUIET });
    let sent = hop.stop().unwrap().adversaries[0].injected;
    assert!(sent >= 3 && summary.measured == 1 && summary.packets > sent, "{sent} {summary:?}");

    let (bytes, report) = packets(&output.with_extension("pcapng"));
    let is_marked = |ip: &[u8]| ip[4..6] == [0x12, 0x34] && ip[8] == 99;
    let marked: Vec<u64> =
        bytes.iter().zip(1..).filter(|(ip, _)| is_marked(ip)).map(|(_, number)| number).collect();
    let mut named: Vec<u64> =
        report.findings.iter().flat_map(|finding| &finding.packets).map(|packet| packet.number).collect();
    named.sort_unstable();
    assert_eq!((named.len() as u64, &named), (sent, &marked), "{report:#?}");
    assert!(report.findings.iter().all(|finding| finding.verdict == daylight_injection::Verdict::Injected));
    // The server's own packets of the same connections are there too.
    let server: Ipv4Addr = SERVER.parse().unwrap();
    let own = bytes.iter().filter(|ip| ip[12..16] == server.octets() && !is_marked(ip)).count();
    assert!(own >= report.findings.len(), "{own}");
    // The probe's own address is nowhere, and checksums of what came over the wire are right nevertheless.
    let client: Ipv4Addr = CLIENT.parse().unwrap();
    assert!(!bytes.iter().any(|ip| ip.windows(4).any(|four| four == client.octets())));
    assert!(bytes.iter().filter(|ip| is_marked(ip)).all(|ip| !is_damaged(ip)));
    assert!(!std::fs::read_to_string(&output).unwrap().contains(CLIENT));

    let (extras, record) = read(&output);
    assert!(extras.injected.iter().all(|one| one.name.as_deref() == Some(NAME)), "{:#?}", extras.injected);
    let first = &extras.injected[0];
    assert_eq!((first.step, first.kind.as_str(), first.copies), (TraceStep::Tls, "rst", 3));
    assert_eq!((first.ip_ttl, first.server_ip_ttl, first.verdict.as_str()), (Some(99), Some(64), "injected"));
    assert!(first.tells.iter().any(|tell| tell == "resets-in-steps"), "{first:?}");
    assert_eq!(record.state, State::Blocked, "{record:#?}");
    assert!(record.fired.iter().any(|fired| fired.rule == "sni-reset-injected"), "{record:#?}");
    let vendors: Vec<_> = record.vendors.iter().map(|vendor| vendor.name.as_str()).collect();
    assert_eq!(vendors, ["sandvine packetlogic"]);
}

/// Nothing is kept of a connection that nobody meddles with.
#[test]
fn no_evidence_where_nothing_is_injected() {
    let Some(mut net) = Net::bridged() else { return };
    net.web_server();
    let hop = censored(&net, "kind = 'tcp-reset'\nmatch.sni = ['another.example']\n");
    let (summary, output) = measure(&net, Steps { matrix: true, ..Steps::QUIET });
    assert_eq!(hop.stop().unwrap().adversaries[0].injected, 0);
    let (extras, _) = read(&output);
    assert_eq!((summary.packets, extras.injected), (0, Vec::new()));
    assert!(!output.with_extension("pcapng").exists());
}

/// A box that copies the TTL of what it answers seems as far away as the probe wants: heard packets give it away.
#[test]
fn an_injector_that_copies_the_ttl_is_found() {
    let Some(mut net) = Net::bridged() else { return };
    net.web_server();
    let hop = censored(
        &net,
        &format!("kind = 'tcp-reset'\nmatch.sni = ['{NAME}']\nplace = 'in-path'\nsignature = 'ttl-copier'"),
    );
    let (_, output) = measure(&net, Steps { matrix: true, locate: true, ..Steps::QUIET });
    drop(hop);
    let (extras, record) = read(&output);
    let [trace] = extras.traces.as_slice() else { panic!("{:#?}", extras.traces) };
    assert!(trace.ttl_copied, "{trace:#?}");
    assert_eq!((trace.method, trace.hop, trace.of_hops), (Method::Raw, Some(1), Some(1)));
    assert_eq!(record.place.map(|place| (place.hop, place.method)), Some((1, Method::Raw)));
}
