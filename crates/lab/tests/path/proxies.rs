//! Adversaries that end connections themselves.

use daylight_lab::adversary::http_proxy::HttpProxyConfig;
use daylight_lab::adversary::tls_interception::TlsInterceptionConfig;

use crate::net::{Net, SERVER};

fn web() -> Option<Net> {
    let mut net = Net::routed()?;
    net.web_server();
    Some(net)
}

/// Issuer of the certificate that is shown for a name.
fn issuer(net: &Net, name: &str) -> String {
    let script = format!(
        "echo | openssl s_client -connect {SERVER}:443 -servername {name} 2>/dev/null | openssl x509 -noout -issuer"
    );
    net.run("c", &["sh", "-c", &script]).1
}

#[test]
fn forged_certificates() {
    let Some(net) = web() else { return };
    let config: TlsInterceptionConfig =
        toml::from_str("sni = ['blocked.example']\ninterface = 'm0'").unwrap();
    let interception = net.within("m", || config.start().unwrap());
    assert!(issuer(&net, "blocked.example").contains("Qaznet Trust Network"));
    assert!(issuer(&net, "fine.example").contains("true.example"));
    // A client that was made to trust the root sees the site, and nothing amiss.
    let root = net.dir.path().join("root.pem");
    std::fs::write(&root, interception.root_pem()).unwrap();
    let resolve = format!("www.blocked.example:443:{SERVER}");
    let trusting = ["curl", "-sS", "-m", "4", "--cacert", root.to_str().unwrap(), "--resolve", &resolve];
    let (code, text) = net.run("c", &[&trusting[..], &["https://www.blocked.example/"]].concat());
    assert!(code == 0 && text.starts_with("page of www.blocked.example"), "{code} {text}");
    let (_, length) = net.run(
        "c",
        &[&trusting[..], &["-o", "/dev/null", "-w", "%{size_download}", "https://www.blocked.example/large"]]
            .concat(),
    );
    assert_eq!(length, "4194304");
    net.assert_no_collateral(SERVER);
    let counters = net.within("m", || interception.into_running().stop());
    assert_eq!((counters.seen, counters.matched), (5, 3));
    // The rule is gone with the proxy.
    assert_eq!(net.run("m", &["nft", "list", "ruleset"]).1, "");
    assert!(issuer(&net, "blocked.example").contains("true.example"));
}

#[test]
fn a_proxy_nobody_asked_for() {
    let Some(net) = web() else { return };
    let config: HttpProxyConfig = toml::from_str("hosts = ['blocked.example']").unwrap();
    let proxy = net.within("m", || config.start().unwrap());
    let (code, text) = net.curl("http", "fine.example", SERVER, &["-i"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("page of fine.example via=1.1 proxy (squid/4.10)"), "{text}");
    assert!(text.contains("\r\nVia: 1.1 proxy (squid/4.10)\r\n"), "{text}");
    let (code, text) = net.curl("http", "blocked.example", SERVER, &["-i"]);
    assert!(code == 0 && text.starts_with("HTTP/1.1 403 Forbidden"), "{code} {text}");
    // Two requests on one connection, and one with a body.
    let resolve = format!("fine.example:80:{SERVER}");
    let large = "http://fine.example/large";
    let (_, text) = net.run(
        "c",
        &[
            "curl",
            "-s",
            "-m",
            "4",
            "--resolve",
            &resolve,
            "-o",
            "/dev/null",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download} %{num_connects};",
            large,
            large,
        ],
    );
    assert_eq!(text, "4194304 1;4194304 0;");
    let (_, text) =
        net.curl("http", "fine.example", SERVER, &["-d", "a=b", "-H", "Transfer-Encoding: chunked"]);
    assert!(text.starts_with("page of fine.example"), "{text}");
    net.assert_no_collateral(SERVER);
    net.within("m", || drop(proxy));
    assert_eq!(net.run("m", &["nft", "list", "ruleset"]).1, "");
    let (_, text) = net.curl("http", "blocked.example", SERVER, &[]);
    assert_eq!(text, "page of blocked.example via=\n");
}
