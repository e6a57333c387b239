//! The whole machine through the tunnel, and nothing past it.

use crate::hosts::{Net, SITE_NAME, have, wait};

const PROGRAMS: &[&str] =
    &["nsenter", "unshare", "ip", "iptables", "nft", "ss", "openssl", "nginx", "curl", "tcpdump"];

/// While the tunnel is up, when its server is gone, and when its client was killed: no packet goes anywhere else.
#[test]
fn nothing_goes_past_the_tunnel() {
    if !have(PROGRAMS) {
        return;
    }
    let mut net = Net::new();
    net.start_site();
    net.start_server();
    let pcap = net.path("leaks.pcap");
    let mut tcpdump = net.router.command("tcpdump");
    tcpdump.args(["-U", "-i", "r0", "-w"]).arg(&pcap);
    tcpdump.args(["ip and src host 192.0.2.2 and not dst host 198.51.100.2"]);
    let log = net.path("tcpdump.log");
    net.router.start(&log, tcpdump);
    wait("tcpdump", || net.said("tcpdump.log").contains("listening on"));
    net.start_client(&["--tun", "--no-local", "--resolver", "203.0.113.9:53"]);
    // Before its lock is closed, a machine is as it was.
    wait("the lock", || !net.client.sh("nft list tables").is_empty());
    let fetch = "curl -sk -m 20 https://203.0.113.2/style.css";
    let through = || net.client.command("sh").args(["-c", fetch]).output().unwrap().stdout;
    wait("the tunnel", || !through().is_empty());
    assert!(String::from_utf8(through()).unwrap().contains("#said"));
    // A name, which is asked for through the tunnel and not answered: nothing of it shows.
    let _ = net.client.command("curl").args(["-sk", "-m", "2"]).arg(format!("https://{SITE_NAME}/")).status();
    let tries = "(curl -sk -m 2 https://203.0.113.2/; curl -s -m 2 http://192.0.2.1/; ping -c 1 -W 1 203.0.113.2) >/dev/null || true";
    net.server.signal_last("-KILL");
    net.server.wait_last();
    net.client.sh(tries);
    net.client.signal_last("-KILL");
    net.client.wait_last();
    net.client.sh(tries);
    net.router.signal_last("-INT");
    net.router.wait_last();
    let leaked = net.router.sh(&format!("tcpdump -nr {} 2>/dev/null", pcap.display()));
    assert!(leaked.is_empty(), "{leaked}");
    // And the machine can be given back.
    let restored = net.client_command(&["restore"]).status().unwrap();
    assert!(restored.success());
    assert!(
        net.client
            .sh("curl -sk -m 5 -o /dev/null -w '%{http_code}' http://192.0.2.1/ || true")
            .contains("000")
    );
    assert!(net.client.sh("ip rule").lines().count() <= 3, "{}", net.client.sh("ip rule"));
}
