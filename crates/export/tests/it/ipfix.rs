//! Collectors of others: nfdump's over UDP, and Wireshark's of a file.

use std::path::Path;
use std::process::Command;

use daylight_export::ipfix::{IpfixFile, IpfixOptions};
use daylight_inspect::RecordSink;

use crate::peers::{finish, free_port, hand_over, record, run, start, wait_for};

/// What nfdump reads in a folder: source, destination, ports, packets and bytes there and back, start, end.
fn nfdump(folder: &Path) -> Vec<Vec<String>> {
    let form = "fmt:%sa,%da,%sp,%dp,%pkt,%byt,%opkt,%obyt,%ts,%te,%pr";
    let output = Command::new("nfdump").args(["-q", "-6", "-o", form, "-R"]).arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.matches(',').count() == 10);
    lines.map(|line| line.split(',').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn nfcapd_collects_over_udp() {
    let folder = tempfile::tempdir().unwrap();
    let flows = folder.path().join("flows");
    std::fs::create_dir(&flows).unwrap();
    let port = free_port().to_string();
    let args = ["-b", "127.0.0.1", "-p", &port, "-w", flows.to_str().unwrap(), "-t", "3600"];
    let Some(mut server) = run("nfcapd", &args, &folder.path().join("nfcapd.log")) else { return };
    let bound = || {
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
        sockets.contains(&format!(":{:04X} ", port.parse::<u16>().unwrap()))
    };
    wait_for("nfcapd does not listen", bound, |bound| *bound);
    let config =
        format!("[[to]]\nkind = \"ipfix\"\naddress = \"127.0.0.1:{port}\"\nmessage_bytes_max = 1400");
    let exporter = start(&config, folder.path());
    hand_over(&exporter, 0..300);
    finish(exporter);
    // Its file is written when it ends; it has read everything once its socket's queue is empty.
    let queued = || {
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
        let of = format!(":{:04X} ", port.parse::<u16>().unwrap());
        sockets.lines().any(|line| line.contains(&of) && !line.contains("00000000:00000000 00:"))
    };
    wait_for("nfcapd reads", queued, |queued| !queued);
    Command::new("kill").arg(server.0.id().to_string()).status().unwrap();
    server.0.wait().unwrap();
    let mut rows = nfdump(&flows);
    rows.sort_by_key(|row| row[5].parse::<u64>().unwrap());
    let log = std::fs::read_to_string(folder.path().join("nfcapd.log")).unwrap();
    assert_eq!(rows.len(), 300, "{log}");
    for (row, n) in rows.iter().zip(0..) {
        let expected = record(n);
        let numbers = [10, 860 + n, 20, 19_720].map(|number| number.to_string());
        assert_eq!(row[4..8], numbers, "packets and IP bytes, there and back");
        let ports = [expected.ends.src_port, expected.ends.dst_port].map(|port| port.to_string());
        assert_eq!(row[2..4], ports);
        assert_eq!(row[..2], [expected.ends.src_ip.to_string(), expected.ends.dst_ip.to_string()]);
        assert!(row[8].contains(&format!("{:02}:{:02}", n / 60, n % 60)), "{row:?}");
        assert_eq!(row[10], "TCP");
    }
}

#[test]
fn wireshark_reads_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.ipfix");
    let mut file = IpfixFile::create(&path, "north", &IpfixOptions::default()).unwrap();
    (0..600).for_each(|n| file.flow(record(n)));
    assert_eq!(file.finish().unwrap(), 600);
    let fields = [
        "cflow.srcaddr",
        "cflow.srcaddrv6",
        "cflow.octets",
        "cflow.packets",
        "cflow.appl_name",
        "cflow.observation_domain_name",
        "cflow.flow_end_reason",
        "_ws.expert.message",
    ];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=|", "-E", "aggregator=;"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let Ok(output) = tshark.output() else { return eprintln!("needs tshark") };
    let text = String::from_utf8(output.stdout).unwrap();
    // A line a message; the values of its records one after another.
    let mut columns = vec![Vec::new(); fields.len()];
    for line in text.lines() {
        for (column, cell) in columns.iter_mut().zip(line.split('|')) {
            column.extend(cell.split(';').filter(|value| !value.is_empty()).map(str::to_owned));
        }
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(columns[7].is_empty(), "{:?}", columns[7]);
    let (v6, v4): (Vec<u64>, Vec<u64>) = (0..600).partition(|n| n % 11 == 0);
    assert_eq!((columns[0].len(), columns[1].len()), (v4.len(), v6.len()), "{error} {}", text.len());
    assert_eq!(columns[0][0], record(v4[0]).ends.src_ip.to_string());
    assert_eq!(columns[5], vec!["north"; 600]);
    assert_eq!(columns[4].iter().filter(|name| *name == "youtube").count(), 200);
    assert_eq!(columns[6], vec!["3"; 600]);
}

/// RFC 7011 over TCP, to a reader that goes away in between: the template is there again before the data.
#[test]
fn over_tcp_a_new_session_has_its_templates() {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = listener.local_addr().unwrap();
    let exporter =
        start(&format!("[[to]]\nkind = \"ipfix\"\nover = \"tcp\"\naddress = \"{address}\""), folder.path());
    for session in 0..2u64 {
        hand_over(&exporter, session * 100..session * 100 + 100);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut is_first = true;
        while seen.len() < 100 {
            let mut message = vec![0; 16];
            stream.read_exact(&mut message).unwrap();
            let len = usize::from(u16::from_be_bytes([message[2], message[3]]));
            message.resize(len, 0);
            stream.read_exact(&mut message[16..]).unwrap();
            if std::mem::take(&mut is_first) {
                // The template for types comes before all others, and counting begins anew.
                assert_eq!((&message[8..12], &message[16..18]), (&[0; 4][..], &[0, 3][..]));
            }
            // Octets are eight bytes.
            let first = 860 + session * 100;
            seen.extend((first..first + 100).filter(|n| message.windows(8).any(|w| w == n.to_be_bytes())));
        }
    }
    let status = finish(exporter).remove(0);
    assert_eq!(status.reader.acknowledged, 200);
}
