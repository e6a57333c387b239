use super::{Indicators, Report};

fn load(text: &str) -> (Indicators, Report) {
    let mut indicators = Indicators::default();
    let report = indicators.load(text, "list").expect(text);
    (indicators, report)
}

/// The counts of a report: names, addresses, fingerprints, certificates, other kinds, bad lines.
fn counts(text: &str) -> [usize; 6] {
    let r = load(text).1;
    [r.names, r.addresses, r.fingerprints, r.certificates, r.other_kinds, r.bad_lines]
}

fn name(indicators: &Indicators, host: &str) -> Option<String> {
    let mut found = Vec::new();
    indicators.name(host, "hostname", &mut found);
    found.pop().map(|risk| risk.evidence.into())
}

fn address(indicators: &Indicators, address: &str, port: u16) -> Option<(u32, String)> {
    indicators.address(address.parse().expect(address), Some(port)).map(|(source, what)| (source.line, what))
}

#[test]
fn plain_lists_of_everything() {
    let (list, report) = load(
        "# a comment\n; another\n\nevil.example\n*.wild.example # why\n||blocked.example^\nhxxps://mal[.]example:8443/x?y\n\
         192.0.2.1\n198.51.100.0/24 ; SBL1\n2001:db8::/32\n203.0.113.9:8080\n[2001:db9::1]:443\n\
         http://203.0.113.10/a.exe\n773906b0efdefa24a7f2b8eb6985bf37\nt13d1516h2_8daaf6152771_b186095e22b6\n\
         AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
    );
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.names, report.addresses, report.fingerprints, report.certificates), (4, 6, 2, 2));
    assert_eq!(name(&list, "evil.example").as_deref(), Some("hostname=evil.example, listed in list:4"));
    assert_eq!(
        name(&list, "WWW.Evil.Example.").as_deref(),
        Some("hostname=WWW.Evil.Example., evil.example listed in list:4")
    );
    assert!(name(&list, "a.wild.example").is_some() && name(&list, "a.blocked.example").is_some());
    assert_eq!(name(&list, "notevil.example"), None);
    assert!(name(&list, "mal.example").is_some());
    assert_eq!(name(&list, "www.mal.example"), None, "a URL stands for its host alone");
    assert_eq!(address(&list, "192.0.2.1", 1), Some((8, "192.0.2.1".into())));
    assert_eq!(address(&list, "192.0.2.2", 1), None);
    assert_eq!(address(&list, "198.51.100.200", 1), Some((9, "198.51.100.0/24".into())));
    assert_eq!(address(&list, "2001:db8:ffff::1", 1), Some((10, "2001:db8::/32".into())));
    assert_eq!(address(&list, "203.0.113.9", 8080), Some((11, "203.0.113.9:8080".into())));
    assert_eq!(address(&list, "203.0.113.9", 80), None);
    assert_eq!(address(&list, "2001:db9::1", 443), Some((12, "[2001:db9::1]:443".into())));
    assert_eq!(address(&list, "203.0.113.10", 80).map(|a| a.0), Some(13));
    assert!(list.fingerprints.contains_key("abcdef0123456789abcdef0123456789abcdef01"));
}

#[test]
fn hosts_files() {
    let (list, report) = load(
        "127.0.0.1 localhost\n::1 ip6-localhost ip6-loopback\n255.255.255.255 broadcasthost\n0.0.0.0 0.0.0.0\n\
         0.0.0.0\tbad.example # tracker\n0.0.0.0 one.example two.example\n",
    );
    assert_eq!((report.names, report.bad_lines), (3, 0), "{report:?}");
    assert!(name(&list, "sub.two.example").is_some());
    // Alone, such an address is just an address.
    assert_eq!(counts("0.0.0.0\n127.0.0.1\n"), [0, 2, 0, 0, 0, 0]);
}

#[test]
fn csv_of_abuse_ch() {
    let urlhaus = "################\n# abuse.ch URLhaus Database Dump (CSV - recent URLs only)      #\n# Last updated: 2024-01-01 00:00:00 (UTC), see https://urlhaus.abuse.ch/ #\n\
        # id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n\
        \"1\",\"2024-01-01 00:00:00\",\"http://203.0.113.5:4321/bin.sh\",\"online\",\"\",\"malware_download\",\"elf,mozi\",\"https://urlhaus.abuse.ch/url/1/\",\"x\"\n\
        \"2\",\"2024-01-01 00:00:00\",\"https://bad.example/a,b\",\"online\",\"\",\"malware_download\",\"a \"\"b\"\"\",\"https://urlhaus.abuse.ch/url/2/\",\"x\"\n\
        \"3\",\"2024-01-01 00:00:00\",\"https://github.com/x/y/raw/z.exe\",\"online\",\"\",\"malware_download\",\"\",\"https://urlhaus.abuse.ch/url/3/\",\"x\"\n";
    let (list, report) = load(urlhaus);
    assert_eq!(
        (report.names, report.addresses, report.shared_hosts, report.bad_lines),
        (1, 1, 1, 0),
        "{report:?}"
    );
    assert_eq!(address(&list, "203.0.113.5", 4321).map(|a| a.0), Some(5));
    assert_eq!(name(&list, "github.com"), None);
    assert_eq!(report.problems.len(), 1);

    let feodo = "# Feodo Tracker\n\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\n\
        \"2024-01-01 00:00:00\",\"203.0.113.6\",\"443\",\"offline\",\"2024-01-02\",\"QakBot\"\n";
    let (list, report) = load(feodo);
    assert_eq!((report.addresses, report.bad_lines), (1, 0), "{report:?}");
    assert!(address(&list, "203.0.113.6", 443).is_some() && address(&list, "203.0.113.6", 444).is_none());

    let threatfox = "# \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\",\"threat_type\",\"fk_malware\",\"malware_alias\"\n\
        \"2024-01-01 00:00:00\", \"1\", \"203.0.113.7:9999\", \"ip:port\", \"botnet_cc\", \"win.cobalt_strike\", \"a,b\"\n\
        \"2024-01-01 00:00:00\", \"2\", \"cc.example\", \"domain\", \"botnet_cc\", \"win.x\", \"None\"\n\
        \"2024-01-01 00:00:00\", \"3\", \"https://drop.example/p\", \"url\", \"payload_delivery\", \"win.x\", \"None\"\n\
        \"2024-01-01 00:00:00\", \"4\", \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\", \"sha256_hash\", \"payload\", \"win.x\", \"\"\n";
    assert_eq!(counts(threatfox), [2, 1, 0, 0, 1, 0]);

    let sslbl = "# Listingdate,SHA1,Listingreason\n2024-01-01 00:00:00,abcdef0123456789abcdef0123456789abcdef01,Dridex C&C\n";
    assert_eq!(counts(sslbl), [0, 0, 0, 1, 0, 0]);
    let ja3 = "# ja3_md5,Firstseen,Lastseen,Listingreason\nb386946a5a44d1ddcc843bc75336dfce,2017-07-14 18:08:15,2019-07-27 20:42:54,Dridex\n";
    assert_eq!(counts(ja3), [0, 0, 1, 0, 0, 0]);
    let addresses = "# Firstseen,DstIP,DstPort\n2024-01-01 00:00:00,203.0.113.8,8443\n";
    assert!(address(&load(addresses).0, "203.0.113.8", 8443).is_some());
}

#[test]
fn csv_of_misp_zeek_and_others() {
    let misp = "uuid,event_id,category,type,value,comment,to_ids\n\
        u,1,Network activity,ip-dst,203.0.113.1,\"a, b\",1\nu,1,Network activity,ip-dst|port,203.0.113.2|8443,,1\n\
        u,1,Network activity,domain,evil.example,,1\nu,1,Network activity,domain|ip,two.example|203.0.113.3,,1\n\
        u,1,Network activity,hostname|port,three.example|99,,1\nu,1,Payload delivery,sha256,abc,,1\n\
        u,1,Network activity,ja3-fingerprint-md5,b386946a5a44d1ddcc843bc75336dfce,,1\n\
        u,1,Network activity,x509-fingerprint-sha1,abcdef0123456789abcdef0123456789abcdef01,,1\n\
        u,1,Network activity,x509-fingerprint-md5,b386946a5a44d1ddcc843bc75336dfce,,1\n\
        u,1,Payload delivery,email-src,a@b.example,,1\nu,1,Network activity,domain,no domain,,1\n";
    assert_eq!(counts(misp), [3, 3, 1, 1, 3, 1]);
    let zeek = "#fields\tindicator\tindicator_type\tmeta.source\n203.0.113.4\tIntel::ADDR\tx\nevil.example\tIntel::DOMAIN\tx\n\
        198.51.100.0/24\tIntel::SUBNET\tx\nd41d8cd98f00b204e9800998ecf8427e\tIntel::FILE_HASH\tx\n";
    assert_eq!(counts(zeek), [1, 2, 0, 0, 1, 0]);
    // Without a header: the column that looks like indicators.
    assert_eq!(counts("1,2024-01-01,203.0.113.1,x\n2,2024-01-02,203.0.113.2,y\n"), [0, 2, 0, 0, 0, 0]);
    assert_eq!(counts("203.0.113.1\t10\n203.0.113.2\t9\n"), [0, 2, 0, 0, 0, 0]);
    assert_eq!(counts("evil.example;2024-01-01\nworse.example;2024-01-02\n"), [2, 0, 0, 0, 0, 0]);
}

#[test]
fn what_cannot_be_read_is_told() {
    let mut text = String::from("good.example\n");
    for i in 0..12 {
        text += &format!("what is this {i}\n");
    }
    let (_, report) = load(&text);
    assert_eq!((report.names, report.bad_lines, report.problems.len()), (1, 12, 11));
    insta::assert_snapshot!("problems", report.problems.join("\n"));

    let (list, report) = load(
        "good.example\nco.uk\ncom\ngithub.io\nlocalhost\nbücher.example\n1.2.3\n10.0.0.0/0\n10.0.0.1/8\n",
    );
    insta::assert_snapshot!("bad_names", report.problems.join("\n"));
    assert_eq!(
        address(&list, "10.9.9.9", 1),
        Some((9, "10.0.0.0/8".into())),
        "bits after a prefix don't matter"
    );
    assert!(name(&list, "x.github.io").is_some(), "hosting suffixes may be listed");

    let error = |text: &str| Indicators::default().load(text, "list").expect_err(text).to_string();
    insta::assert_snapshot!("json", error("{\"a\": 1}"));
    insta::assert_snapshot!("prose", error("Dear all,\nplease block them\n"));
    insta::assert_snapshot!("binary", error("\u{1f}\0\0"));
    insta::assert_snapshot!("html", error("<!DOCTYPE html>"));
    assert_eq!(load("").1.problems, ["list: the list is empty"]);
}

#[test]
fn the_first_list_is_named_and_a_domain_outdoes_a_host() {
    let mut list = Indicators::default();
    list.load("http://evil.example/x\n192.0.2.0/24\n", "one").expect("good");
    list.load("evil.example\n192.0.2.0/24\n192.0.2.7\n", "two").expect("good");
    assert_eq!(
        name(&list, "a.evil.example").as_deref(),
        Some("hostname=a.evil.example, evil.example listed in two:1")
    );
    assert_eq!(
        address(&list, "192.0.2.7", 1),
        Some((3, "192.0.2.7".into())),
        "the longest prefix has the say"
    );
    assert_eq!(address(&list, "192.0.2.8", 1), Some((2, "192.0.2.0/24".into())));
    assert_eq!(list.len(), 3);
}

mod any {
    use proptest::prelude::*;

    use super::Indicators;

    proptest! {
        #[test]
        fn text_does_no_harm(text in "(\\PC|[\n\t,;\"#:|./]|hxxp://|1\\.2\\.3\\.4|a\\.example|ioc,type\n){0,60}") {
            let mut list = Indicators::default();
            if let Ok(report) = list.load(&text, "any") {
                prop_assert!(list.len() <= report.loaded());
            }
        }
    }
}
