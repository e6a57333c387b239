//! What a link does to traffic: nothing, or what it was told.

use std::time::Instant;

use daylight_lab::adversary::packet::checksums_hold;
use daylight_lab::adversary::{AdversaryConfig, Built};
use daylight_lab::hop::{Hop, HopConfig, Impairment};

use crate::net::{Net, SERVER};

/// Mbit/s of a TCP transfer of two seconds from client to server.
fn iperf(net: &mut Net, seconds: &str) -> f64 {
    let (code, text) =
        net.run("c", &["iperf3", "-c", SERVER, "-t", seconds, "-J", "--connect-timeout", "3000"]);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() / 1e6
}

/// Shortest, mean and longest round trip in milliseconds, and the percentage lost.
fn ping(net: &Net, count: &str) -> ([f64; 3], f64) {
    let (_, text) = net.run("c", &["ping", "-q", "-c", count, "-i", "0.01", "-W", "1", SERVER]);
    let times = text.split(" = ").nth(1).unwrap_or_else(|| panic!("{text}"));
    let mut times = times.split(['/', ' ']).map(|t| t.parse().unwrap());
    let lost = text
        .split(", ")
        .find_map(|part| part.strip_suffix("% packet loss"))
        .or_else(|| text.split(", ").find_map(|part| part.split_once("% packet loss").map(|(n, _)| n)));
    ([(); 3].map(|()| times.next().unwrap()), lost.unwrap().trim().parse().unwrap())
}

fn plain_hop(net: &Net, config: HopConfig) -> Hop {
    net.within("m", || Hop::start("m0", "m1", config, None).unwrap())
}

/// An adversary that finds nothing, but has to look at every packet.
fn watcher() -> HopConfig {
    let text = "kind = 'tcp-reset'\nmatch.sni = ['blocked.example']";
    let config: AdversaryConfig = toml::from_str(text).unwrap();
    let Ok(Built::Packets(adversary)) = config.build(0) else { panic!("a packet handler") };
    HopConfig { adversaries: vec![adversary], ..HopConfig::default() }
}

#[test]
fn bulk_transfer_and_latency() {
    let Some(mut net) = Net::bridged() else { return };
    net.spawn("s", &["iperf3", "-s"]);
    net.wait_for_port(5201);
    // What the kernel's own bridge does, to compare with.
    net.bridge(true);
    let (times, _) = ping(&net, "100");
    let mbit_per_s = iperf(&mut net, "2");
    println!(
        "kernel bridge: {mbit_per_s:.0} Mbit/s; round trip {:.3}/{:.3}/{:.3} ms",
        times[0], times[1], times[2]
    );
    net.bridge(false);
    for (what, config) in
        [("large frames untouched", HopConfig::default()), ("every packet looked at", watcher())]
    {
        let hop = plain_hop(&net, config);
        let (times, lost) = ping(&net, "100");
        let mbit_per_s = iperf(&mut net, "2");
        let report = hop.stop().unwrap();
        let [out, back] = report.directions;
        println!(
            "{what}: {mbit_per_s:.0} Mbit/s; round trip {:.3}/{:.3}/{:.3} ms, {lost} % lost; {} frames of {} bytes out, {} \
             back, missed {:?}, unsent {:?}",
            times[0],
            times[1],
            times[2],
            out.received,
            out.received_bytes / out.received.max(1),
            back.received,
            report.missed,
            report.unsent
        );
        assert_eq!(lost, 0.0, "{what}");
    }
}

#[test]
fn delay_loss_and_rate() {
    let Some(mut net) = Net::bridged() else { return };
    net.spawn("s", &["iperf3", "-s"]);
    net.wait_for_port(5201);
    let both = |line: Impairment| HopConfig { outbound: line.clone(), inbound: line, ..HopConfig::default() };
    let hop = plain_hop(&net, both(Impairment::delay_ms(20.0)));
    let ([shortest, mean, _], _) = ping(&net, "20");
    println!("20 ms each way: round trip {shortest} ms at the shortest, {mean} ms in the mean");
    // A busy machine only ever adds to it.
    assert!((40.0..100.0).contains(&shortest), "{shortest}");
    hop.stop().unwrap();

    let hop = plain_hop(&net, both(Impairment { loss: 0.2, ..Impairment::default() }));
    let (_, lost) = ping(&net, "200");
    let report = hop.stop().unwrap();
    println!("a fifth lost each way: {lost} % lost, {:?} packets", report.directions.map(|d| d.lost));
    // 1 - 0.8² = 36 %; with 200 packets the deviation is 3.4 %.
    assert!((20.0..52.0).contains(&lost), "{lost}");

    let hop = plain_hop(
        &net,
        HopConfig {
            outbound: Impairment { rate_mbit_per_s: Some(20.0), delay_ms: 5.0, ..Impairment::default() },
            ..HopConfig::default()
        },
    );
    let mbit_per_s = iperf(&mut net, "3");
    println!("20 Mbit/s: {mbit_per_s:.2} Mbit/s of payload; {:?}", hop.stop().unwrap().directions[0]);
    // What starves on a busy machine is the sender, so there is no telling how little comes through.
    assert!((1.0..20.0).contains(&mbit_per_s), "{mbit_per_s}");
}

/// What is captured is what a wire would carry: every checksum is done, and every packet is there at both ends.
#[test]
fn a_capture_of_both_ends() {
    let Some(mut net) = Net::bridged() else { return };
    net.spawn("s", &["iperf3", "-s"]);
    net.wait_for_port(5201);
    let hop = net.hop(watcher());
    let (code, text) = net.run("c", &["iperf3", "-c", SERVER, "-n", "200K"]);
    assert_eq!(code, 0, "{text}");
    let report = hop.stop().unwrap();
    let path = net.dir.path().join("link.pcapng");
    let mut source = daylight_capture::open(&path).unwrap();
    let mut frames = 0;
    while let Some(batch) = source.next_batch(64).unwrap() {
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            let is_ipv4 = bytes.get(12..14) == Some(&[8, 0]);
            assert!(!is_ipv4 || checksums_hold(&bytes[14..]), "frame {frames}: {bytes:02x?}");
            frames += 1;
        }
    }
    let [out, back] = report.directions;
    assert_eq!((out.received, back.received), (out.delivered, back.delivered));
    // What came in large is one frame there, and several where it went out.
    let sent_out = out.delivered + back.delivered;
    assert!((sent_out + 20..=2 * sent_out).contains(&frames), "{frames} {report:?}");
}

#[test]
fn it_stops_at_once_and_says_what_is_missing() {
    let Some(net) = Net::bridged() else { return };
    let hop = plain_hop(&net, HopConfig::default());
    let start = Instant::now();
    hop.stop().unwrap();
    assert!(start.elapsed().as_secs() < 5);
    let error = net.within("m", || Hop::start("m0", "nothing", HopConfig::default(), None).err().unwrap());
    assert!(error.to_string().starts_with("interface nothing: "), "{error}");
}
