//! What a queried name gives away: names made by an algorithm, and names that carry data.
//!
//! # How unlike words a label is
//! [`cost`] is the mean cost of its pairs of neighbouring characters in bits, −log2 P(second | first). The
//! probabilities of letter pairs were counted over the 198,000 distinct words of Debian's program messages and
//! documentation in 20 languages written in Latin script (accents taken off; a word that occurs n times counts
//! log2(1 + n)), rounded to whole bits and cut at 9. A pair of digits costs 4 bits, a digit beside a letter 7; hyphens
//! part words and cost nothing. Words and brand names lie between 3 and 5.3 bits; letters drawn evenly at 6.2, letters
//! and digits at 6.3.
//!
//! # Generated (DGA-like) names
//! Malware registers what its algorithm generates, so only the registered label is looked at: `example` in
//! `www.example.com` and in `www.example.co.uk`. Names that a CDN or cloud generates below its own domain are left
//! alone. The label is suspicious if it has 10 letters and digits or more, at least 4 of them letters, and either
//! costs more than 5.6 bits, or consists of 16 or more hexadecimal digits of both kinds. That catches about 80 % of
//! 12 letters drawn evenly and 90 % of 12 letters and digits, and none of the 560 registered names that were used to
//! choose the threshold. Generators that join words are not caught. Short names in other scripts' transliterations can
//! be caught wrongly.
//!
//! # Tunnel-like names
//! A label below the registered one carries data if a run between its hyphens has 24 or more characters, and that
//! run costs more than 5.2 bits or is hexadecimal. Such bytes count as payload. Labels from `_` on (validation,
//! DKIM, service discovery) and the reverse zones don't count. One query is enough with 52 bytes of payload, or if
//! its type is NULL or 65399; else three different names of 24 bytes or more in one flow. Look-ups of file hashes by
//! anti-virus products are found too: they are such a tunnel.

use super::codes::rtype;
use super::message::Name;

/// Pairs of letters: row first, column second, bits.
const PAIR_BITS: [&[u8; 26]; 26] = [
    b"65448756565343759343657966",
    b"26782988369387389467398969",
    b"39693992374697399564599975",
    b"37862887377675379557478976",
    b"67546657575452868234768686",
    b"38873479278498389465499979",
    b"37972955387574489456388969",
    b"29962999377576399575487969",
    b"46454657765452468534759886",
    b"29962999496576489846489998",
    b"28893986395586389544477969",
    b"27852767276466389955479969",
    b"24872889398656449867499989",
    b"38533637366776499843579957",
    b"65547757675442659345555986",
    b"39783886498487349265499989",
    b"49997989599699787777097999",
    b"37652767386655379654468966",
    b"38483785384576459742478965",
    b"29882896397687399454478958",
    b"45554657565443659334767876",
    b"28882999388795399667689959",
    b"19773996398895479558699947",
    b"36463687397668539762588769",
    b"36464766565544449544576967",
    b"27762977386664479776476946",
];

/// The cost of a generated label starts above this, in hundredths of a bit.
pub const GENERATED: u32 = 560;
/// The cost of data in a label starts above this, in hundredths of a bit.
const ENCODED: u32 = 520;
const GENERATED_CHARS_MIN: usize = 10;
const HEX_CHARS_MIN: usize = 16;
const ENCODED_CHARS_MIN: usize = 24;
const PAYLOAD_ONE: usize = 52;
const PAYLOAD_MANY: u8 = 3;

/// What a byte is: a letter's place in the alphabet, or one of the classes after it.
const DIGIT: u8 = 26;
const HYPHEN: u8 = 27;
const UNDERSCORE: u8 = 28;
const OTHER: u8 = 29;

/// The class of every byte.
static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut b = 0;
    while b < 256 {
        classes[b] = match b as u8 {
            letter @ b'a'..=b'z' => letter - b'a',
            letter @ b'A'..=b'Z' => letter - b'A',
            b'0'..=b'9' => DIGIT,
            b'-' => HYPHEN,
            b'_' => UNDERSCORE,
            _ => OTHER,
        };
        b += 1;
    }
    classes
};

/// Marks a pair that counts; what it costs stands below.
const PAIR: u8 = 16;

/// What every pair of classes costs. Hyphens part words: 0.
static COSTS: [[u8; 32]; 32] = {
    let mut costs = [[0; 32]; 32];
    let mut first = 0;
    while first < 32 {
        let mut second = 0;
        while second < 32 {
            let (a, b) = (first as u8, second as u8);
            costs[first][second] = if a < DIGIT && b < DIGIT {
                PAIR + PAIR_BITS[first][second] - b'0'
            } else if a == HYPHEN || b == HYPHEN {
                0
            } else if a == DIGIT && b == DIGIT {
                PAIR + 4
            } else {
                PAIR + 7
            };
            second += 1;
        }
        first += 1;
    }
    costs
};

fn classes(label: &[u8]) -> impl Iterator<Item = u8> {
    label.iter().map(|b| CLASSES[usize::from(*b)])
}

/// The mean cost of a label's pairs, in hundredths of a bit. 0 if it has none.
pub fn cost(label: &[u8]) -> u32 {
    let (mut total, mut pairs) = (0u32, 0u32);
    let mut classes = classes(label).map(|class| usize::from(class % 32));
    let mut first = classes.next().unwrap_or_default();
    for second in classes {
        let cost = COSTS[first][second];
        total += u32::from(cost % PAIR);
        pairs += u32::from(cost / PAIR);
        first = second;
    }
    (total * 100).checked_div(pairs).unwrap_or(0)
}

/// Hexadecimal digits alone, and of both kinds: letters, and figures for at least every fourth.
fn is_hex(run: &[u8]) -> bool {
    let digits = run.iter().filter(|b| b.is_ascii_digit()).count();
    run.len() >= HEX_CHARS_MIN
        && run.iter().all(u8::is_ascii_hexdigit)
        && digits * 4 >= run.len()
        && digits < run.len()
}

/// True if a registered label looks generated: see the module's documentation.
pub fn is_generated(label: &[u8]) -> bool {
    if label.len() < GENERATED_CHARS_MIN || label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--")) {
        return false;
    }
    let (mut letters, mut digits, mut hyphens) = (0, 0, 0);
    for class in classes(label) {
        letters += usize::from(class < DIGIT);
        digits += usize::from(class == DIGIT);
        hyphens += usize::from(class == HYPHEN);
    }
    // Only host names; an address or a number is no word but nothing suspicious either.
    letters + digits + hyphens == label.len()
        && letters >= 4
        && letters + digits >= GENERATED_CHARS_MIN
        && (cost(label) > GENERATED || is_hex(label))
}

/// How many bytes of this label look like data.
fn payload(label: &[u8]) -> usize {
    if label.len() < ENCODED_CHARS_MIN {
        return 0;
    }
    label
        .split(|b| *b == b'-')
        .filter(|run| run.len() >= ENCODED_CHARS_MIN && (is_hex(run) || cost(run) > ENCODED))
        .map(<[u8]>::len)
        .sum()
}

/// What one name looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The registered label looks generated.
    pub generated: bool,
    /// Bytes of payload below the registered name.
    pub payload: usize,
    /// A label begins with `xn--`.
    pub punycode: bool,
    /// It has bytes that host names and service names don't have.
    pub invalid: bool,
}

/// Looks at a name that was asked for, as DNS (and not as mDNS or NetBIOS) uses names.
pub fn look(name: &Name<'_>) -> Look {
    // The last three labels decide what is registered.
    let mut last: [&[u8]; 3] = [&[]; 3];
    let mut count = 0;
    let mut found = Look::default();
    let (mut service, mut odd, mut data) = (false, false, 0);
    for label in name.labels() {
        data += payload(last[0]);
        last = [last[1], last[2], label];
        count += 1;
        service |= label.first() == Some(&b'_');
        odd |= classes(label).any(|class| class == OTHER) && label != b"*";
        found.punycode |= label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--"));
    }
    let [third, second, last] = last;
    // Service instances hold free text (RFC 6763 §4.1.1).
    found.invalid = odd && !service;
    // Reverse zones, names of the local network, and those under one label alone have no registered label.
    if service
        || count < 2
        || [&b"arpa"[..], b"local", b"lan", b"home"].iter().any(|l| last.eq_ignore_ascii_case(l))
    {
        return found;
    }
    // `co.uk`, `com.au`: below a country a label of up to three letters is mostly a public suffix itself.
    if count >= 3 && last.len() == 2 && second.len() <= 3 {
        (found.generated, found.payload) = (is_generated(third), data);
    } else {
        (found.generated, found.payload) = (is_generated(second), data + payload(third));
    }
    found
}

/// Counts the payload of one flow's queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    names: u8,
    last: u32,
}

impl Tunnel {
    /// Takes a query into account. True if by now the flow looks like a tunnel.
    pub fn query(&mut self, name: &Name<'_>, qtype: u16, look: Look) -> bool {
        if matches!(qtype, rtype::NULL | rtype::PRIVATE) && !name.is_root() {
            return true;
        }
        if look.payload < ENCODED_CHARS_MIN {
            return false;
        }
        let hash = name.hash();
        if hash != self.last {
            self.last = hash;
            self.names = self.names.saturating_add(1);
        }
        look.payload >= PAYLOAD_ONE || self.names >= PAYLOAD_MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        let mut m = vec![0; 12];
        for label in name.split('.') {
            m.push(label.len() as u8);
            m.extend(label.as_bytes());
        }
        m.push(0);
        m
    }

    fn looks(name: &str) -> Look {
        look(&Name::read(&wire(name), 12).unwrap().0)
    }

    #[test]
    fn generated_names() {
        // Drawn by a generator of even letters, of letters and digits, and of hexadecimal digits.
        for name in [
            "qxkzvjwtphgm.com",
            "www.vxqwzkjfhtrb.net",
            "xjwqkpzvbnlh.co.uk",
            "k3j9x2q8v7w1z.info",
            "6gyq7tqpm7zxk3b.biz",
            "a94f30d2e8b15c76.org",
            "5d41402abc4b2a76b9719d911017c592.ru",
        ] {
            assert!(
                looks(name).generated,
                "{name} costs {}",
                cost(name.split('.').next().unwrap().as_bytes())
            );
        }
    }

    #[test]
    fn ordinary_cdn_reverse_and_service_names_are_not() {
        for name in [
            "www.stackoverflow.com",
            "d1a2b3c4x5q6z7.cloudfront.net",
            "e12345.dscx.akamaiedge.net",
            "rr3---sn-4g5e6nz7.googlevideo.com",
            "lb._dns-sd._udp.0.128.28.172.in-addr.arpa",
            "1.0.0.127.in-addr.arpa",
            "_xkqzvwjphtbgmr._tcp.local",
            "xkqzvwjphtbg.local",
            "googlesyndication.com",
            "www.krzysztof-wrzesniewski.pl",
            "fonts.googleapis.com",
            "appsflyersdk.com",
            "www.sueddeutsche.de",
            "1688998877665544.com",
            "xn--80ak6aa92e.com",
            "static.xx.fbcdn.net",
            "www.gov.uk",
            "bbc.co.uk",
            "donaudampfschifffahrt.de",
            "raspberrypi.org",
            "schwarzwaldmilch.de",
            "wpad",
            "isatap.example.com",
            "windowsupdate.com",
            "s3.eu-central-1.amazonaws.com",
        ] {
            assert!(!looks(name).generated, "{name}");
            assert_eq!(looks(name).payload, 0, "{name}");
        }
    }

    fn tunnel(names: &[&str], qtype: u16) -> bool {
        let mut tunnel = Tunnel::default();
        names.iter().any(|name| {
            let m = wire(name);
            let (name, _) = Name::read(&m, 12).unwrap();
            tunnel.query(&name, qtype, look(&name))
        })
    }

    #[test]
    fn tunnels() {
        let long = "nbswy3dpeb3w64tmmqqho2dfeb4ha5jzmvxgk4tbnrqw2ytfmnuw4zzooq.t.example.com";
        assert!(tunnel(&[long], rtype::TXT));
        let some = [
            "9c3e01f2a47b8d65e0f1a2b3c4.t.example.org",
            "0b9d3f25e1c7a86954d2f0e3b1.t.example.org",
            "77aa01f2a47b8d65e0f1a2b3c9.t.example.org",
        ];
        assert!(!tunnel(&some[..2], rtype::A));
        assert!(!tunnel(&[some[0], some[0], some[0]], rtype::A));
        assert!(tunnel(&some, rtype::A));
        assert!(tunnel(&["vaaaakat2ea.t.example.com"], rtype::NULL));
    }

    #[test]
    fn what_only_looks_long_is_no_tunnel() {
        for name in [
            "internal-production-loadbalancer-1234567890.eu-west-1.elb.amazonaws.com",
            "_3639ac514e785e898d2646601fa951d5.example.com",
            "k1._domainkey.9c3e01f2a47b8d65e0f1a2b3c49c3e01f2a47b8d65e0f1a2b3c4.example.com",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa",
            "thisisaverylonghostnamethatsomebodychose.example.com",
        ] {
            assert!(!tunnel(&[name], rtype::TXT), "{name}");
        }
    }

    #[test]
    fn characters() {
        assert!(looks("a b.example.com").invalid);
        assert!(looks("x\u{7}.example.com").invalid);
        for name in ["*.example.com", "under_score.example.com", "My Printer._ipp._tcp.example.com"] {
            assert!(!looks(name).invalid, "{name}");
        }
        assert!(looks("www.xn--bcher-kva.example").punycode);
    }
}
