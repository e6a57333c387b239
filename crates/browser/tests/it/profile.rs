//! Profiles: what can be read, and what is refused.

use daylight_browser::{Client, Error, Fill, Kind, Profile, Trust};

pub(crate) const TEXT: &str = include_str!("../../../../data/browsers/chrome-156.toml");

fn changed(from: &str, to: &str) -> Result<Profile, Error> {
    assert!(TEXT.contains(from), "{from}");
    Profile::parse(&TEXT.replacen(from, to, 1))
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let error = changed("grease = true", "greese = true").unwrap_err().to_string();
    assert!(error.contains("unknown field `greese`") && error.contains("line "), "{error}");
    let error = changed("weight = 256", "weight = 0").unwrap_err().to_string();
    assert!(error.contains("`http2.priority.weight` has 0"), "{error}");
    let error = changed("\"82df130201\"", "\"82df1\"").unwrap_err().to_string();
    assert!(error.contains("two digits each"), "{error}");
    let error = changed("[\"sec-fetch-user\"", "[\"sec fetch\"").unwrap_err().to_string();
    assert!(error.contains("sec fetch"), "{error}");
}

#[test]
fn what_boringssl_cannot_do_is_refused() {
    for (from, to) in [
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_NOTHING"),
        ("groups = [0x11ec", "groups = [0x1234"),
        ("key_shares = [0x11ec", "key_shares = [0x0019"),
        ("    0x0904,", "    0x0999,"),
        ("[\"brotli\"]", "[\"zstd\"]"),
        ("alpn = [\"h2\"", "alpn = [\"\""),
    ] {
        let profile = changed(from, to).unwrap();
        let error = Client::new(profile, &Trust::Unverified).err();
        assert!(matches!(error, Some(Error::Setup(_) | Error::Unsupported { .. })), "{to}: {error:?}");
    }
}

#[test]
fn headers_are_filled_in_or_left_out() {
    let profile = Profile::current();
    let fill = Fill {
        referer: Some("https://site.example/"),
        origin: Some("https://site.example"),
        cookie: Some("a=b"),
        content_type: Some("text/plain"),
        content_length: Some(5),
    };
    let full = profile.headers(Kind::Fetch, &fill);
    let names: Vec<_> = full.keys().map(|name| name.as_str()).collect();
    assert_eq!(names[..3], ["content-length", "sec-ch-ua-platform", "user-agent"]);
    assert_eq!(names[names.len() - 2..], ["cookie", "priority"]);
    let bare = profile.headers(Kind::Fetch, &Fill::default());
    assert_eq!(full.len() - bare.len(), 5);
    for kind in [Kind::Navigation, Kind::Script, Kind::Style, Kind::Image, Kind::Fetch] {
        let headers = profile.headers(kind, &fill);
        assert!(headers.values().all(|value| !value.to_str().unwrap().contains('{')), "{kind:?}");
        assert!(headers["user-agent"].to_str().unwrap().contains("Chrome/156."));
    }
}
