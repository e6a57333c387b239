//! A site that is blocked, and read all the same.

use crate::hosts::{Net, SERVER_NAME, SITE_NAME, have};

const PROGRAMS: &[&str] = &["nsenter", "unshare", "ip", "iptables", "ss", "openssl", "nginx", "curl"];

/// Chromium by itself sees nothing of it; with the client for a proxy it sees all, by each transport.
#[test]
fn a_browser_reads_what_is_blocked() {
    if !have(PROGRAMS) || !have(&["chromium"]) {
        return;
    }
    let mut net = Net::new();
    net.start_site();
    net.start_server();
    let browse = |net: &Net, proxy: Option<&str>| {
        let mut browser = net.client.command("timeout");
        browser.args(["60", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
        browser.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        browser.args(["--disable-sync", "--ignore-certificate-errors", "--virtual-time-budget=20000"]);
        browser.arg(format!("--user-data-dir={}", net.path("profile").display()));
        browser.args(proxy.map(|proxy| format!("--proxy-server={proxy}")));
        let seen = browser.arg("--dump-dom").arg(format!("https://{SITE_NAME}/")).output().unwrap();
        String::from_utf8_lossy(&seen.stdout).into_owned()
    };
    let whole = "160000 bytes, 64 wide, rgb(1, 2, 3)";
    // By its address, since nobody tells the client its name.
    let direct = net.client.command("curl").args(["-sk", "-m", "3", "https://203.0.113.2/"]).status();
    assert_eq!(direct.unwrap().code(), Some(28), "the censor lets nothing pass");
    for transport in ["web", "h3", "plain"] {
        net.start_client(&["--transport", transport]);
        for proxy in ["socks5://127.0.0.1:1080", "http://127.0.0.1:1080"] {
            let seen = browse(&net, Some(proxy));
            let said = net.said("client.log") + &net.said("server.log");
            assert!(seen.contains(whole), "{transport} by {proxy}: {seen}\n{said}");
        }
        net.client.signal_last("-INT");
        net.client.wait_last();
    }
    // Whoever comes without a card sees a site.
    let site = net.client.sh(&format!("curl -sk https://{SERVER_NAME}/"));
    assert!(site.contains("<title>") && !site.to_lowercase().contains("daylight"), "{site}");
}

/// The server is ended in the middle, and started again.
#[test]
fn a_server_that_comes_back_is_used_again() {
    if !have(PROGRAMS) {
        return;
    }
    let mut net = Net::new();
    net.start_site();
    net.start_server();
    net.start_client(&[]);
    let fetch = format!(
        "curl -sk -m 30 -o /dev/null -w '%{{size_download}}' --socks5-hostname 127.0.0.1:1080 https://{SITE_NAME}/large"
    );
    assert_eq!(net.client.sh(&fetch), (100 << 20).to_string());
    net.server.signal_last("-KILL");
    net.server.wait_last();
    net.run_server();
    let again = format!(
        "for n in $(seq 40); do curl -sk -m 30 --socks5-hostname 127.0.0.1:1080 https://{SITE_NAME}/style.css && exit; sleep 0.5; done; exit 1"
    );
    assert!(net.client.sh(&again).contains("#said"));
    // What the client says of itself, to a person and to a program.
    let status = net.client_command(&["status", "--json"]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains(r#""phase""#), "{status}");
    // Cards are exchanged while it runs: one that is taken back opens nothing.
    let cards = net.path("server/cards");
    let text = std::fs::read_to_string(&cards).unwrap();
    let kept: String =
        text.lines().filter(|line| !line.ends_with("hand-out/1.card")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&cards, kept).unwrap();
    net.server.signal_last("-HUP");
    crate::hosts::wait("the reload", || net.said("server.log").contains("read the configuration again"));
    net.client.signal_last("-TERM");
    net.client.wait_last();
    net.start_client(&[]);
    let refused = net
        .client
        .command("curl")
        .args(["-sk", "-m", "5", "--socks5-hostname", "127.0.0.1:1080"])
        .arg(format!("https://{SITE_NAME}/style.css"))
        .status();
    assert!(!refused.unwrap().success());
}
