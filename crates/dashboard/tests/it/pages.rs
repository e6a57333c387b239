//! Every page, with what the network would like to do to its readers.

use daylight_dashboard::{Data, Options};

use crate::client::{Answer, encoded, get};
use crate::{Served, now_ns, support};

const REPORTS: [&str; 11] = [
    "applications",
    "hosts",
    "clients",
    "talkers",
    "protocols",
    "risks",
    "findings",
    "flows",
    "dns",
    "fingerprints",
    "servers",
];
const SUBJECTS: [&str; 9] =
    ["application", "category", "client", "fingerprint", "host", "protocol", "risk", "server", "severity"];
const LANGUAGES: [&str; 5] = ["en", "be", "ru", "de", "fr"];
/// The floor that is promised.
const PAGE_BYTES_MAX: usize = 500_000;

/// The pages that there are, without what they are about.
fn addresses() -> Vec<String> {
    let mut all: Vec<String> =
        ["/", "/now", "/overview", "/networks", "/query", "/nothing-of-the-kind"].map(str::to_owned).to_vec();
    all.extend(REPORTS.iter().map(|name| format!("/{name}?range=7d")));
    all.extend(REPORTS.iter().map(|name| format!("/{name}?range=7d&direction=asc&offset=5&search=script")));
    all
}

/// Tags of a page, as written.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<').skip(1).filter_map(|rest| rest.split('>').next())
}

/// What must be so on every page.
#[track_caller]
fn is_harmless(path: &str, answer: &Answer) {
    let page = &answer.body;
    assert_eq!(answer.field("content-type"), "text/html; charset=utf-8", "{path}");
    assert!(page.len() <= PAGE_BYTES_MAX, "{path}: {} bytes", page.len());
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{path}");
    for tag in tags(page) {
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
        assert!(!matches!(name, "iframe" | "object" | "embed" | "base"), "{path}: <{tag}>");
        assert!(name != "img" || tag.contains(" src=\"/static/"), "{path}: <{tag}>");
        // A script is a file of ours, or data that isn't run.
        if name == "script" && !tag.starts_with('/') {
            assert!(
                tag.contains("src=\"/static/") || tag.contains("type=\"application/json\""),
                "{path}: <{tag}>"
            );
        }
        for (attribute, value) in attributes(tag) {
            assert!(!attribute.starts_with("on"), "{path}: <{tag}>");
            assert_ne!(attribute, "style", "{path}: <{tag}>: the policy forbids it");
            if matches!(attribute, "href" | "src" | "action" | "srcset" | "poster" | "formaction") {
                let is_own = value.starts_with('/') && !value.starts_with("//");
                assert!(is_own || value.starts_with('#') || value.starts_with('?'), "{path}: <{tag}>");
            }
        }
    }
    // What a form sends back must be what it was: inputs, and the one text area.
    let inputs = tags(page).filter(|tag| tag.starts_with("input "));
    let mut shown = inputs.fold(page.clone(), |page, tag| page.replace(tag, ""));
    if let (Some(from), Some(to)) = (shown.find("<textarea"), shown.find("</textarea>")) {
        shown.replace_range(from..to, "");
    }
    for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{1b}', '\u{7}', '\0', '\u{e0041}'] {
        assert!(!shown.contains(hidden), "{path}: {hidden:?}");
    }
    // The name of SVG's language is no address that is loaded.
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    let is_external = |at: &str| page.contains(&format!("=\"{at}")) || page.contains(&format!("url({at}"));
    assert!(!is_external("http://") && !is_external("https://") && !is_external("//"), "{path}");
}

/// Attributes in double quotes, which is how the templates write them.
fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("=\"") {
        let name = before.rsplit(|c: char| c.is_whitespace() || c == '"').next().unwrap_or_default();
        let Some((value, after)) = after.split_once('"') else { break };
        found.push((name, value));
        rest = after;
    }
    found
}

#[test]
fn nothing_from_the_network_is_markup() {
    let served = Served::hostile();
    // The link's table is there after its first second.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !served.get("/api/v1/now").body.contains("window.hacked") {
        assert!(std::time::Instant::now() < deadline, "the link shows no hostile name");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut seen = 0;
    for path in addresses() {
        let answer = served.get(&path);
        assert!(matches!(answer.status, 200 | 303 | 404), "{path}: {}", answer.status);
        if answer.status != 303 {
            is_harmless(&path, &answer);
            seen += usize::from(answer.body.contains("window.hacked"));
        }
    }
    assert!(seen >= 12, "only {seen} pages show what is hostile: the test tests nothing");
}

#[test]
fn nothing_from_an_address_is_markup() {
    let served = Served::hostile();
    for text in support::hostile() {
        let value = encoded(&text);
        for subject in SUBJECTS {
            let path = format!("/{subject}?{subject}={value}&range=30d");
            let answer = served.get(&path);
            if answer.status == 414 || answer.status == 431 {
                continue;
            }
            assert!(matches!(answer.status, 200 | 303 | 404), "{path}: {}", answer.status);
            if answer.status != 303 {
                is_harmless(&path, &answer);
            }
        }
        for path in [
            format!("/flow?id={value}"),
            format!(
                "/hosts?search={value}&sort={value}&offset={value}&range={value}&from={value}&to={value}"
            ),
            format!("/query?q={value}&p.x={value}"),
            format!("/query?q=select+1&{value}={value}&p.{value}=1"),
            format!("/{value}"),
        ] {
            let answer = served.get(&path);
            if answer.status != 303 && answer.field("content-type").starts_with("text/html") {
                is_harmless(&path, &answer);
            }
        }
    }
}

#[test]
fn every_language_shows_every_page() {
    let served = Served::over(support::day(now_ns(), 400));
    for language in LANGUAGES {
        for path in addresses() {
            let answer = get(served.address, &path, &[("Accept-Language", language)]);
            if answer.status == 303 {
                continue;
            }
            assert!(answer.body.contains(&format!("lang=\"{language}\"")), "{path} in {language}");
            is_harmless(&path, &answer);
        }
    }
}

#[test]
fn a_large_store_makes_no_large_page() {
    let served = Served::over(support::day(now_ns(), 30_000));
    for path in addresses() {
        let answer = served.get(&format!("{path}{}rows=100000", if path.contains('?') { '&' } else { '?' }));
        assert!(answer.body.len() <= PAGE_BYTES_MAX, "{path}: {} bytes", answer.body.len());
    }
}

#[test]
fn without_a_store_or_a_link_pages_say_what_to_do() {
    let served = Served::start(Options::default(), Data::default());
    for path in addresses() {
        let answer = served.get(&path);
        if answer.status != 303 {
            is_harmless(&path, &answer);
        }
    }
    assert!(served.get("/now").body.contains("--live"));
    assert_eq!(served.get("/hosts").status, 503);
    assert!(served.get("/hosts").body.contains("data-trouble=\"store\""));
}

#[test]
fn settings_are_kept_and_lead_back() {
    let served = Served::over(Vec::new());
    let page = served.get("/overview");
    let seed = page.cookie("daylight-seed").unwrap().split(';').next().unwrap().to_owned();
    let token = crate::access::token(&page);
    let form = format!("token={token}&language=be&theme=dark&back=%2Fhosts%3Frange%3D7d");
    let cookie = format!("daylight-seed={seed}");
    let answer = crate::client::ask(served.address, "POST", "/settings", &[("Cookie", &cookie)], &form);
    assert_eq!((answer.status, answer.field("location")), (303, "/hosts?range=7d"), "{answer:?}");
    assert!(answer.cookie("daylight-language").unwrap().starts_with("be;"));
    assert!(answer.cookie("daylight-theme").unwrap().starts_with("dark;"));
    let chosen = get(served.address, "/overview", &[("Cookie", "daylight-language=be; daylight-theme=dark")]);
    assert!(chosen.body.contains("lang=\"be\"") && chosen.body.contains("data-theme=\"dark\""));
}
