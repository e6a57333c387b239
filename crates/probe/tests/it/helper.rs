//! The helper, as a client of OONI's sees it, and as one sees it who means harm.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use daylight_probe::helper::{Limits, Options, Policy, Tls, serve};
use daylight_probe::http::{Exchange, Request, exchange};
use daylight_probe::net::connect;
use daylight_probe::tls::{Hello, handshake};
use serde_json::{Value, json};

use crate::world::{Censor, Dns, LONG, TARGET, World};

struct Helper {
    at: SocketAddr,
    stop: &'static AtomicBool,
}

impl Helper {
    async fn new(world: &World, private: bool, limits: Limits, tls: Option<Tls>) -> Self {
        let policy =
            Policy { resolvers: world.settings.resolvers.clone(), roots: world.roots.clone(), private };
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls,
            policy,
            limits,
            behind_proxy: false,
            version: "0".to_owned(),
        };
        let serving = serve(options).await.unwrap();
        let at = serving.address().unwrap();
        // It lives as long as the test's process.
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        tokio::spawn(serving.run(stop));
        Self { at, stop }
    }

    async fn get(&self, path: &str) -> Exchange {
        let url = format!("http://{}{path}", self.at).parse().unwrap();
        self.send(&Request::visit(&url, "helper.test", "").unwrap()).await
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        let url = format!("http://{}/", self.at).parse().unwrap();
        let done = self.send(&Request::post(&url, "application/json", body.to_string()).unwrap()).await;
        let response = done.response.unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    async fn send(&self, request: &Request) -> Exchange {
        exchange(connect(self.at, LONG).await.into_stream().unwrap(), request, 4 << 20, LONG).await
    }
}

#[tokio::test]
async fn speaks_oonis_protocol() {
    let world = World::new(Censor::Open, Dns::Honest).await;
    let helper = Helper::new(&world, true, Limits::default(), None).await;
    let health: Value = serde_json::from_slice(&helper.get("/").await.response.unwrap().body).unwrap();
    assert_eq!(health["status"], "ok");

    let closed = "127.0.0.9:1";
    let request = json!({
        "http_request": world.url,
        "http_request_headers": {"User-Agent": ["x"], "Accept": ["*/*"], "Accept-Language": ["en"]},
        "tcp_connect": [closed],
    });
    let (status, answer) = helper.post(&request).await;
    assert_eq!(status, 200);
    assert_eq!(answer["dns"], json!({"failure": null, "addrs": ["127.0.0.3"]}));
    assert_eq!(answer["http_request"]["status_code"], 200);
    assert_eq!(answer["http_request"]["failure"], Value::Null);
    assert_eq!(answer["http_request"]["headers"]["Server"], "own");
    // The port is the URL's, for all addresses.
    let port = world.url.trim_end_matches('/').rsplit(':').next().unwrap();
    assert_eq!(answer["tcp_connect"][format!("127.0.0.9:{port}")]["failure"], "connection_refused_error");
    assert_eq!(answer["tcp_connect"][format!("127.0.0.3:{port}")], json!({"failure": null, "status": true}));
    assert_eq!(answer["ip_info"]["127.0.0.9"]["flags"], 1 | 4);
    assert_eq!(answer["ip_info"]["127.0.0.3"]["flags"], 2 | 4);
    helper.stop.store(true, std::sync::atomic::Ordering::Relaxed);
}

#[tokio::test]
async fn goes_nowhere_private() {
    let world = World::new(Censor::Open, Dns::Honest).await;
    let helper = Helper::new(&world, false, Limits::default(), None).await;
    for url in [
        world.url.as_str(),
        "http://127.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest",
    ] {
        let (status, answer) =
            helper.post(&json!({"http_request": url, "tcp_connect": ["127.0.0.1:22", "10.0.0.1:22"]})).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["tcp_connect"], json!({}), "{url}");
        assert_eq!(answer["http_request"]["status_code"], -1, "{url}");
    }
    for body in [json!({}), json!({"http_request": "file:///etc/passwd"}), json!([1])] {
        assert_eq!(helper.post(&body).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn has_limits() {
    let world = World::new(Censor::Open, Dns::Honest).await;
    let limits = Limits { per_minute: 2, ..Limits::default() };
    let helper = Helper::new(&world, false, limits, None).await;
    let body = json!({});
    assert_eq!(helper.post(&body).await.0, 400);
    assert_eq!(helper.post(&body).await.0, 400);
    assert_eq!(helper.post(&body).await.0, 429);
    let busy = Helper::new(&world, false, Limits { in_flight: 0, ..Limits::default() }, None).await;
    assert_eq!(busy.post(&body).await.0, 503);
}

#[tokio::test]
async fn tells_how_a_request_arrived() {
    let world = World::new(Censor::Open, Dns::Honest).await;
    let (chain, key) = world.certify("helper.test");
    let helper = Helper::new(&world, false, Limits::default(), Some(Tls { chain, key })).await;
    let url = "https://helper.test/daylight/echo".parse().unwrap();
    let request = Request::visit(&url, "helper.test", "").unwrap();
    let connected = connect(helper.at, LONG).await;
    let from = connected.from.unwrap();
    let hello = Hello { server_name: Some(TARGET), ..Hello::of("helper.test") };
    let shaken = handshake(connected.into_stream().unwrap(), &hello, &world.roots, LONG).await;
    assert_eq!((shaken.failure.clone(), shaken.certificate_failure.clone()), (None, None));
    let done = exchange(shaken.stream.unwrap(), &request, 4096, LONG).await;
    let echo: Value = serde_json::from_slice(&done.response.unwrap().body).unwrap();
    assert_eq!(echo["server_name"], TARGET);
    assert_eq!(
        (echo["address"].as_str(), echo["port"].as_u64()),
        (Some("127.0.0.1"), Some(from.port().into()))
    );
    assert_eq!(echo["syn"]["ttl"], 64, "{echo}");
    assert!(echo["headers"].as_array().unwrap().iter().any(|pair| pair[0] == "user-agent"), "{echo}");
}

#[tokio::test]
async fn sends_bytes_to_time() {
    let world = World::new(Censor::Open, Dns::Honest).await;
    let helper = Helper::new(&world, false, Limits::default(), None).await;
    assert_eq!(helper.get("/daylight/blob?bytes=100000").await.response.unwrap().body.len(), 100_000);
    assert_eq!(helper.get("/daylight/blob?bytes=99999999").await.response.unwrap().status, 400);
}
