//! The wire image: as the profile says, and as the installed Chromium's.

use std::collections::BTreeSet;

use daylight_browser::{Client, DATA_BYTES_MAX, Profile, Trust};

use super::chromium::{self, Chromium};
use super::profile::TEXT;
use super::recorder::Recorder;
use super::visitor::{UPLOAD_BYTES, fetch, visit};
use super::{frames, hello};

/// What can be compared between two clients that loaded the same page from the same server.
struct Image {
    /// The first connection, with no session to resume, and how HTTP/2 begins over it.
    first: Vec<String>,
    /// The first connection that resumes a session.
    resumed: Vec<String>,
    /// The headers of each request.
    requests: Vec<String>,
}

fn image(connections: &[(Vec<u8>, Vec<u8>)]) -> Image {
    let (raw, clear) =
        connections.iter().find(|(_, clear)| !clear.is_empty()).expect("a connection with requests");
    let mut first = hello::lines(raw);
    first.push(format!("records up to the first request {}", record_lengths(raw)));
    first.extend(frames::opening(clear));
    let (resumed, _) = connections
        .iter()
        .find(|(raw, clear)| !clear.is_empty() && hello::resumes(raw))
        .expect("a connection that resumes a session");
    let mut requests = Vec::new();
    for (path, mut fields) in frames::requests(clear) {
        // Asked for by the browser itself.
        if path == "/favicon.ico" {
            continue;
        }
        // The weight of the first request is in the lines above; those that follow depend on what else is under way.
        fields.remove(0);
        requests.extend(fields.iter().map(|field| format!("{path} {field}")));
    }
    // The answer to the server's last PING: neither GOAWAY nor an alert follows.
    requests.push(format!("at the end frame {:?}", frames::last(clear)));
    requests.push(format!("at the end record {:?}", hello::records(raw).last()));
    let longest = frames::data_lengths(clear).into_iter().max();
    requests.push(format!("/upload in DATA frames of at most {}", longest.unwrap_or_default()));
    Image { first, resumed: hello::lines(resumed), requests }
}

/// Types and lengths after the ClientHello, whose own length is random: ChangeCipherSpec, Finished, the start of HTTP/2,
/// the first request. The answer to the server's SETTINGS, 26 bytes, comes when it comes.
fn record_lengths(raw: &[u8]) -> String {
    let records = hello::records(raw);
    let after: Vec<_> =
        records.iter().filter(|(kind, length)| *kind != 22 && *length != 26).take(4).collect();
    format!("{after:?}")
}

/// Lines of one that the other doesn't have, `-` before the browser's and `+` before ours; nothing if they are equal.
fn differences(title: &str, browser: &[String], ours: &[String]) -> String {
    if browser == ours {
        return String::new();
    }
    let lacks = |mark, of: &[String], other: &[String]| -> String {
        of.iter().filter(|line| !other.contains(line)).map(|line| format!("{mark} {line}\n")).collect()
    };
    let lines = lacks('-', browser, ours) + &lacks('+', ours, browser);
    if lines.is_empty() {
        return format!("{title}: the same lines in another order\n- {browser:#?}\n+ {ours:#?}\n");
    }
    format!("{title}:\n{lines}")
}

#[tokio::test]
async fn equals_the_installed_chromium() {
    let Some(version) = chromium::version().await else {
        println!("skipped: there is no Chromium on this machine (Debian: apt-get install chromium)");
        return;
    };
    let mut recorder = Recorder::start().await;
    let browser = Chromium::open(&recorder);
    let done = recorder.wait_for("/again").await;
    drop(browser);
    assert!(done, "Chromium did not load the page");
    let theirs = image(&recorder.connections());

    // Without a screen Chromium calls itself HeadlessChrome. So that the lengths can be compared, the client does so here
    // too, and asks the same server.
    let profile = Profile::parse(&TEXT.replace("Chrome/", "HeadlessChrome/")).unwrap();
    let client = Client::new(profile, &Trust::Roots(recorder.certificate_pem.clone())).unwrap();
    recorder.forget();
    visit(&client, &recorder).await;
    fetch(&client, &recorder, "/again").await;
    let ours = image(&recorder.connections());

    let different = differences("first connection", &theirs.first, &ours.first)
        + &differences("resumed connection", &theirs.resumed, &ours.resumed)
        + &differences("headers", &theirs.requests, &ours.requests);
    assert!(
        different.is_empty(),
        "this client (profile of Chrome {}) is not like Chromium {version} (-):\n{different}\
         Bring data/browsers/ up to date: each line names what the browser sends.",
        client.profile().version,
    );
}

#[tokio::test]
async fn equals_its_profile() {
    let recorder = Recorder::start().await;
    let client = Client::new(Profile::current(), &Trust::Roots(recorder.certificate_pem.clone())).unwrap();
    visit(&client, &recorder).await;
    fetch(&client, &recorder, "/again").await;
    let connections = recorder.connections();

    let [(first, clear), (resumed, _)] = &connections[..] else {
        panic!("{} connections", connections.len())
    };
    assert_eq!(hello::ja4(first), client.profile().ja4);
    assert_eq!(hello::ja4(resumed), client.profile().ja4_resumed);
    let opening = frames::opening(clear);
    assert_eq!(opening[0], "SETTINGS 1=65536 2=0 4=6291456 6=262144");
    assert_eq!(opening[1], "WINDOW_UPDATE stream 0 by 15663105");
    assert!(opening[2].ends_with("weight 256 exclusive 1 on 0"), "{}", opening[2]);
    assert_eq!(frames::requests(clear)["/"][1..5].iter().map(|l| &l[1..2]).collect::<String>(), "masp");

    let data = frames::data_lengths(clear);
    assert_eq!(data.iter().sum::<usize>(), UPLOAD_BYTES);
    assert_eq!(data.iter().max(), Some(&DATA_BYTES_MAX));
    // A full frame fills a record, and no record holds more than one frame: the tag and the type are 17 bytes.
    let records = hello::records(first);
    let full = records.iter().filter(|record| **record == (23, 16 * 1024 + 17)).count();
    assert_eq!(full, data.iter().filter(|length| **length == DATA_BYTES_MAX).count());
}

#[tokio::test]
async fn draws_the_order_of_extensions_anew() {
    let recorder = Recorder::start().await;
    let mut orders = BTreeSet::new();
    for _ in 0..4 {
        let client = Client::new(Profile::current(), &Trust::Unverified).unwrap();
        fetch(&client, &recorder, "/fetch").await;
    }
    for (raw, _) in recorder.connections() {
        let order = hello::extension_order(&raw);
        assert_eq!((order[0].as_str(), order[order.len() - 1].as_str()), ("GREASE", "GREASE"));
        orders.insert(order);
    }
    // Seventeen extensions: that two orders are equal happens once in 10^14 runs.
    assert_eq!(orders.len(), 4);
}
