use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::prefix::{self, Prefix};
use super::tables::{Category, Draft, Tables};
use super::{Catalog, registrable_domain};

/// No applications, and one category.
const EMPTY: Catalog = Catalog {
    tables: &Tables {
        categories: &[Category { name: "games", title: "", help: "" }],
        apps: &[],
        text: "",
        slots: &[[0; 16]; 8],
        longest: 0,
        alpn: &[],
        prefixes: &[],
        addresses: &[],
    },
};

fn app_of(catalog: &Catalog, host: &str) -> Option<&'static str> {
    catalog.by_host(host).map(|id| catalog.app(id).name)
}

fn with(text: &str) -> Catalog {
    Catalog::builtin().with_file(text, "own.toml").expect(text)
}

fn error(text: &str) -> String {
    Catalog::builtin().with_file(text, "own.toml").expect_err(text).to_string()
}

#[test]
fn names_and_the_names_below_them_are_found() {
    let catalog = Catalog::builtin();
    for (host, app) in [
        ("wikipedia.org", Some("wikipedia")),
        ("en.m.wikipedia.org", Some("wikipedia")),
        ("EN.Wikipedia.ORG.", Some("wikipedia")),
        ("notwikipedia.org", None),
        ("wikipedia.org.example.net", None),
        ("rr3---sn-4g5e6nsy.googlevideo.com", Some("youtube")),
        ("", None),
        (".", None),
        ("..", None),
        ("org", None),
        ("localhost", None),
        ("192.0.2.1", None),
    ] {
        assert_eq!(app_of(&catalog, host), app, "{host}");
    }
    assert_eq!(app_of(&catalog, &format!("{}wikipedia.org", "a.".repeat(300))), Some("wikipedia"));
    assert_eq!(app_of(&catalog, &"a.".repeat(300)), None);
}

#[test]
fn the_longest_name_has_the_say() {
    let catalog = with(
        r#"
        [outer]
        category = "business"
        domains = ["outer.example"]
        exact = ["www.inner.outer.example"]
        [inner]
        category = "business"
        domains = ["inner.outer.example"]
        [alone]
        category = "business"
        exact = ["outer.example", "only.example"]
        "#,
    );
    for (host, app) in [
        ("a.outer.example", Some("outer")),
        ("inner.outer.example", Some("inner")),
        ("x.inner.outer.example", Some("inner")),
        ("www.inner.outer.example", Some("outer")),
        ("a.www.inner.outer.example", Some("inner")),
        ("outer.example", Some("alone")),
        ("only.example", Some("alone")),
        ("www.only.example", None),
    ] {
        assert_eq!(app_of(&catalog, host), app, "{host}");
    }
}

#[test]
fn addresses_and_alpn_are_found() {
    let catalog = with(
        r#"
        [own]
        category = "business"
        alpn = ["own/1"]
        prefixes = ["203.0.113.0/24", "2001:db8::/32"]
        [part]
        category = "games"
        prefixes = ["203.0.113.128/25", "2001:db8:1::1"]
        "#,
    );
    let by_address = |text: &str| {
        let address: IpAddr = text.parse().expect(text);
        catalog.by_address(address).map(|id| catalog.app(id).name)
    };
    assert_eq!(by_address("203.0.112.255"), None);
    assert_eq!(by_address("203.0.113.0"), Some("own"));
    assert_eq!(by_address("203.0.113.127"), Some("own"));
    assert_eq!(by_address("203.0.113.128"), Some("part"));
    assert_eq!(by_address("203.0.114.0"), None);
    assert_eq!(by_address("2001:db8::5"), Some("own"));
    assert_eq!(by_address("2001:db8:1::1"), Some("part"));
    assert_eq!(by_address("2001:db8:1::2"), Some("own"));
    assert_eq!(by_address("2001:db9::"), None);
    assert_eq!(by_address("8.8.8.8"), Some("google-dns"));
    assert_eq!(catalog.by_alpn("own/1").map(|id| catalog.app(id).name), Some("own"));
    assert_eq!(catalog.by_alpn("h2"), None);
}

#[test]
fn a_file_adds_and_overrides() {
    let builtin = Catalog::builtin();
    let catalog = with(
        r#"
        [wikipedia] # there already: what is not said stays
        domains = ["wiki.corp.example"]
        [intranet]
        title = "Our intranet"
        category = "business"
        domains = ["corp.example", "de.wikipedia.org", "reddit.com"]
        [netflix]
        replace = true
        domains = ["films.example"]
        "#,
    );
    assert_eq!(catalog.apps().len(), builtin.apps().len() + 1);
    let wikipedia = catalog.app(catalog.by_name("wikipedia").expect("there"));
    assert_eq!((wikipedia.title, wikipedia.category), ("Wikipedia", "reference"));
    for (host, app) in [
        ("en.wikipedia.org", Some("wikipedia")),
        ("de.wikipedia.org", Some("intranet")),
        ("wiki.corp.example", Some("wikipedia")),
        ("mail.corp.example", Some("intranet")),
        ("www.reddit.com", Some("intranet")),
        ("www.netflix.com", None),
        ("films.example", Some("netflix")),
    ] {
        assert_eq!(app_of(&catalog, host), app, "{host}");
    }
    // A second file goes on where the first ended.
    let again = catalog.with_file("[intranet]\ncategory = \"games\"\n", "more.toml").expect("good");
    assert_eq!(again.app(again.by_host("x.corp.example").expect("there")).category, "games");
    assert_eq!(again.app(again.by_name("intranet").expect("there")).title, "Our intranet");
    // The rest is untouched, and so is the built-in catalog.
    assert_eq!(app_of(&again, "www.youtube.com"), Some("youtube"));
    assert_eq!(app_of(&builtin, "de.wikipedia.org"), Some("wikipedia"));
}

#[test]
fn errors_tell_place_and_remedy() {
    insta::assert_snapshot!("syntax", error("[a]\ncategory = \"games\"\ndomains = [\"a.example\"\n"));
    insta::assert_snapshot!(
        "category",
        error("[a]\ncategory = \"gamse\"\n[b]\n[c]\ncategory = 7\n[d]\ncategory = \"qqqqqqqq\"")
    );
    insta::assert_snapshot!(
        "keys",
        error(
            "name = \"x\"\n[a]\ncategory = \"games\"\ndomain = [\"a.example\"]\nreplace = 1\ntitle = \" \"\ncolour = 1"
        )
    );
    insta::assert_snapshot!(
        "names",
        error("[\"Our Portal!\"]\ncategory = \"games\"\n[-a]\ncategory = \"games\"")
    );
    let hosts = r#"[a]
        category = "games"
        domains = [
            "https://a.example/x", "A.example", "*.a.example", ".a.example", "192.0.2.1", "10.0.0.0/8", "a.example:80",
            "a.example/x", "bücher.example", "a b", "a..example", "a.example.", "co.uk", "github.io", 5, ""
        ]"#;
    insta::assert_snapshot!("hosts", error(hosts));
    insta::assert_snapshot!(
        "prefixes",
        error(
            "[a]\ncategory = \"games\"\nprefixes = [\"10.0.0.1/8\", \"10.0.0.0/33\", \"ten\", \"0.0.0.0/0\"]\nalpn = \"h2\""
        )
    );
    insta::assert_snapshot!(
        "duplicates",
        error(
            "[a]\ncategory = \"games\"\ndomains = [\"a.example\"]\n[b]\ncategory = \"games\"\ndomains = [\"b.example\",  \"a.example\"]\n"
        )
    );
    let many: String = (0..30).map(|i| format!("[a{i}]\n")).collect();
    insta::assert_snapshot!("many", error(&many));
}

#[test]
fn a_public_suffix_may_be_claimed_if_it_is_said_to_be_one() {
    let catalog = with(
        "[pages]\ncategory = \"developer\"\npublic-suffixes = [\"pages.example\"]\n[uk]\ncategory = \"government\"\nexact = [\"co.uk\"]\n",
    );
    assert_eq!(app_of(&catalog, "x.pages.example"), Some("pages"));
    assert_eq!(app_of(&catalog, "co.uk"), Some("uk"));
    assert_eq!(app_of(&catalog, "example.co.uk"), None);
}

#[test]
fn domains_are_cut_where_they_were_registered() {
    assert_eq!(registrable_domain("www.example.co.uk"), Some("example.co.uk"));
    assert_eq!(registrable_domain("WWW.Example.COM."), Some("Example.COM"));
    assert_eq!(registrable_domain("a.b.github.io"), Some("b.github.io"));
    assert_eq!(registrable_domain("co.uk"), None);
    assert_eq!(registrable_domain("192.0.2.1"), None);
    assert_eq!(registrable_domain("2001:db8::1"), None);
    assert_eq!(registrable_domain(""), None);
    assert_eq!(registrable_domain(&"a".repeat(300)), None);
}

#[test]
fn the_builtin_catalog_is_whole() {
    let catalog = Catalog::builtin();
    assert!(catalog.apps().len() >= 400, "{}", catalog.apps().len());
    let categories: BTreeSet<_> = catalog.categories().iter().map(|c| c.name).collect();
    let mut used = BTreeSet::new();
    for app in catalog.apps() {
        used.insert(app.category);
        assert!(!app.title.is_empty() && categories.contains(app.category), "{app:?}");
        assert_eq!(catalog.by_name(app.name).map(|id| catalog.app(id)), Some(app));
    }
    assert_eq!(used, categories, "each category has applications");
}

/// The design's rule: software by which people get around censorship has no label.
#[test]
fn no_label_unmasks_circumvention() {
    let forbidden: Vec<_> =
        "tor torproject onion obfs obfs4 meek psiphon shadowsocks outline v2ray v2fly xray vmess vless \
        trojan hysteria naiveproxy lantern getlantern ultrasurf ultrareach freegate geph \
        snowflake-relay tunnelbear-bridge brook amnezia riseup ceno censorship newnode nthlink \
        greatfire freebrowser orbot tails i2p hyphanet"
            .split(' ')
            .collect();
    let catalog = Catalog::builtin();
    for app in catalog.apps() {
        for word in app.name.split('-').chain(app.title.split(' ')) {
            assert!(!forbidden.contains(&&*word.to_lowercase()), "{app:?}");
        }
    }
    let hosts = "www.torproject.org bridges.torproject.org psiphon.ca psiphon3.com getlantern.org lantern.io \
        ultrasurf.us getoutline.org shadowsocks.org v2ray.com v2fly.org amnezia.org amneziavpn.org \
        riseup.net geph.io censorship.no greatfire.org nthlink.com hyphanet.org freenetproject.org";
    for host in hosts.split(' ') {
        assert_eq!(app_of(&catalog, host), None, "{host}");
    }
}

/// Whoever owns `example.com` has `www.example.com` anyway: such lines only hide what matters.
#[test]
fn no_name_of_the_builtin_catalog_is_needless() {
    let tables = Catalog::builtin().tables;
    let file = Draft::from_tables(tables);
    for (host, app) in file.suffixes() {
        let above = host.split_once('.').map(|(_, above)| above);
        let owner = above.and_then(|above| app_of(&Catalog::builtin(), &format!("no-such-label.{above}")));
        assert_ne!(owner, Some(app), "{host} goes without saying");
    }
}

proptest! {
    #[test]
    fn suffix_lookup_agrees_with_a_naive_search(
        suffixes in prop::collection::btree_set("[ab]{1,2}(\\.[ab]{1,2}){0,3}", 1..30),
        exact in prop::collection::btree_set("[ab]{1,2}(\\.[ab]{1,2}){0,3}", 1..8),
        hosts in prop::collection::vec("[abA]{1,2}(\\.[abB]{1,2}){0,5}\\.?", 1..30),
    ) {
        let mut text = String::new();
        for (i, name) in suffixes.iter().enumerate() {
            text += &format!("[s{i}]\ncategory = \"games\"\npublic-suffixes = [\"{name}\"]\n");
        }
        for (i, name) in exact.iter().enumerate() {
            text += &format!("[e{i}]\ncategory = \"games\"\nexact = [\"{name}\"]\n");
        }
        let catalog = EMPTY.with_file(&text, "own.toml").expect("good");
        for host in &hosts {
            let lower = host.trim_end_matches('.').to_lowercase();
            let naive = match exact.iter().position(|name| *name == lower) {
                Some(i) => Some(format!("e{i}")),
                None => {
                    let below = |name: &&String| lower == **name || lower.ends_with(&format!(".{name}"));
                    let longest = suffixes.iter().filter(below).max_by_key(|name| name.len());
                    longest.map(|name| format!("s{}", suffixes.iter().position(|n| n == name).expect("from it")))
                }
            };
            prop_assert_eq!(app_of(&catalog, host), naive.as_deref(), "{} in {:?}", host, suffixes);
        }
    }

    #[test]
    fn address_lookup_agrees_with_a_naive_search(
        prefixes in prop::collection::btree_map((any::<u16>(), 112u8..=128), 0u16..5, 0..20),
        more in prop::collection::vec(any::<u16>(), 20),
    ) {
        let low = |n: u16| 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_0000 | u128::from(n);
        let mut list: Vec<_> = prefixes.iter().map(|((n, length), app)| (Prefix::of(low(*n), *length), *app)).collect();
        list.sort();
        list.dedup_by_key(|(prefix, _)| *prefix);
        let points = prefix::flatten(&list);
        prop_assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
        let edges = list.iter().flat_map(|(p, _)| [p.bits, p.last(), p.bits - 1, p.last().wrapping_add(1)]);
        for number in more.into_iter().map(low).chain(edges) {
            let holds = |p: &Prefix| p.bits <= number && number <= p.last();
            let naive = list.iter().filter(|(p, _)| holds(p)).max_by_key(|(p, _)| p.length).map(|(_, app)| *app);
            prop_assert_eq!(prefix::find(&points, number), naive);
        }
    }

    #[test]
    fn any_text_is_an_error_or_a_catalog(text in "(\\PC|\n|\\[a\\]\n|domains = \\[\"){0,40}") {
        let _ = EMPTY.with_file(&text, "any");
    }

    #[test]
    fn prefixes_are_written_as_they_are_read(number: u128, length in 1u8..=128) {
        let prefix = Prefix::of(number, length);
        prop_assert_eq!(Prefix::parse(&prefix.to_string()), Ok(prefix));
    }
}
