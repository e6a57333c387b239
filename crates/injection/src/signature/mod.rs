//! Signatures: what known equipment fills into the packets that it makes. Data, each with its source and with packets on which
//! it must fit, and on which it must not.
//!
//! A signature names equipment only if it has two features that are independent of each other (two header fields, a field
//! and the page's text …), one of which at least is uncommon: window 8192, identification 0 and a clear DF bit are found
//! in many systems. One with less may say what class of device it is, and no more. The reader sees to that.

mod feature;
mod vector;

use serde::Deserialize;
use toml::Spanned;

pub(crate) use self::feature::Specimen;
use self::feature::{Feature, FeaturesText};
use self::vector::VectorText;
use crate::finding::SignatureMatch;

/// The largest file of signatures, in bytes.
pub const SIGNATURES_BYTES_MAX: u64 = 1 << 20;
/// How many signatures a file may have.
const SIGNATURES_MAX: usize = 1024;
/// On how many independent features equipment is named.
const NAMING_FEATURES_MIN: usize = 2;

/// The signatures that come with the program.
pub const OWN_SIGNATURES: &str = include_str!("../../../../data/probe/injectors.toml");
const OWN_NAME: &str = "data/probe/injectors.toml";

/// Why a file of signatures can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct SignatureError {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    version: String,
    #[serde(default)]
    signature: Vec<Spanned<SignatureText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SignatureText {
    id: String,
    vendor: Option<Spanned<String>>,
    class: String,
    #[serde(default)]
    seen_in: Vec<String>,
    source: String,
    features: Spanned<FeaturesText>,
    #[serde(default)]
    fits: Vec<Spanned<VectorText>>,
    #[serde(default)]
    not: Vec<Spanned<VectorText>>,
}

/// One signature, checked.
#[derive(Debug)]
struct Signature {
    id: String,
    vendor: Option<String>,
    class: String,
    source: String,
    features: Vec<Feature>,
}

impl Signature {
    /// Which of the packets it is about, if it fits them.
    fn fits(&self, packets: &[Specimen]) -> Option<Vec<usize>> {
        let chosen = feature::chosen(&self.features, packets);
        let these: Vec<&Specimen> = chosen.iter().filter_map(|at| packets.get(*at)).collect();
        (!these.is_empty() && self.features.iter().all(|feature| feature.fits(&these))).then_some(chosen)
    }
}

/// A file of signatures, checked.
#[derive(Debug)]
pub struct Signatures {
    version: String,
    all: Vec<Signature>,
}

impl Signatures {
    /// The signatures that come with the program.
    ///
    /// # Errors
    /// Never, as a test makes sure.
    pub fn own() -> Result<Self, SignatureError> {
        Self::parse(OWN_SIGNATURES, OWN_NAME)
    }

    /// Reads and checks a file, its test vectors included.
    ///
    /// # Errors
    /// If it is no TOML, a key is unknown, a signature names equipment on too few features, or one doesn't do on its vectors
    /// what it must.
    pub fn parse(text: &str, file: &str) -> Result<Self, SignatureError> {
        let at = Place { text, file };
        let read: FileText = toml::from_str(text)
            .map_err(|error| at.error(error.span().map_or(0, |span| span.start), error.message()))?;
        if read.signature.len() > SIGNATURES_MAX {
            return Err(at.error(0, &format!("more than {SIGNATURES_MAX} signatures: split the file")));
        }
        let mut all: Vec<Signature> = Vec::with_capacity(read.signature.len());
        for one in read.signature {
            let start = one.span().start;
            let one = at.signature(start, one.into_inner())?;
            if all.iter().any(|old| old.id == one.id) {
                return Err(
                    at.error(start, &format!("there are two signatures `{}`: ids are unique", one.id))
                );
            }
            all.push(one);
        }
        Ok(Self { version: read.version, all })
    }

    /// The file's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What a table of them holds: id, vendor, class, features, source.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<[String; 5]> {
        let row = |one: &Signature| {
            let features: Vec<String> = one.features.iter().map(|feature| format!("`{feature}`")).collect();
            let vendor = one.vendor.clone().unwrap_or_default();
            [format!("`{}`", one.id), vendor, one.class.clone(), features.join(" "), one.source.clone()]
        };
        self.all.iter().map(row).collect()
    }

    /// Those that these packets of one connection fit, each with the features that do, and with which packets.
    pub(crate) fn matches(&self, packets: &[Specimen]) -> Vec<(SignatureMatch, Vec<usize>)> {
        self.all
            .iter()
            .filter_map(|signature| {
                let of = signature.fits(packets)?;
                let found = SignatureMatch {
                    id: signature.id.clone(),
                    vendor: signature.vendor.clone(),
                    class: signature.class.clone(),
                    features: signature.features.iter().map(ToString::to_string).collect(),
                    source: signature.source.clone(),
                };
                Some((found, of))
            })
            .collect()
    }
}

struct Place<'a> {
    text: &'a str,
    file: &'a str,
}

impl Place<'_> {
    fn error(&self, start: usize, message: &str) -> SignatureError {
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        SignatureError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: message.to_owned(),
        }
    }

    fn signature(&self, start: usize, text: SignatureText) -> Result<Signature, SignatureError> {
        let id = &text.id;
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(is_letter) {
            let message = format!("`{id}` is no id: write words of a-z and 0-9 joined by hyphens");
            return Err(self.error(start, &message));
        }
        let wrong = |message: &str| Err(self.error(start, &format!("signature `{id}` {message}")));
        if text.source.trim().is_empty() || text.class.trim().is_empty() {
            return wrong("has no source or no class: say who found it, and what kind of device it is");
        }
        if text.seen_in.iter().any(|code| code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase())) {
            return wrong("was seen in what is no country: write ISO 3166-1 codes, such as \"TR\"");
        }
        let features_at = text.features.span().start;
        let features = text
            .features
            .into_inner()
            .features()
            .map_err(|message| self.error(features_at, &format!("signature `{id}`: {message}")))?;
        let independent = feature::independent(&features);
        if independent == 0 {
            return wrong("has no feature that tells anything: kinds of packets alone don't");
        }
        if let Some(vendor) = &text.vendor {
            let uncommon = features.iter().any(|feature| !feature.is_common());
            if independent < NAMING_FEATURES_MIN || !uncommon {
                let message = format!(
                    "signature `{id}` names `{}` on {independent} independent feature(s){}: {NAMING_FEATURES_MIN} are needed, one of them uncommon; \
                     leave `vendor` out and say the class",
                    vendor.get_ref(),
                    if uncommon { "" } else { ", all of them common" },
                );
                return Err(self.error(vendor.span().start, &message));
            }
        }
        if text.fits.is_empty() || text.not.is_empty() {
            return wrong("has no packets to be tried on: give some for `fits` and for `not`");
        }
        let signature = Signature {
            id: text.id.clone(),
            vendor: text.vendor.map(Spanned::into_inner),
            class: text.class,
            source: text.source,
            features,
        };
        for (vectors, must) in [(text.fits, true), (text.not, false)] {
            for vector in vectors {
                let at = vector.span().start;
                let packets = vector.into_inner().specimens();
                if signature.fits(&packets).is_some() != must {
                    let message = format!(
                        "signature `{}` {} these packets",
                        signature.id,
                        if must { "doesn't fit" } else { "fits" }
                    );
                    return Err(self.error(at, &message));
                }
            }
        }
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"version = "1"
[[signature]]
id = "a"
vendor = "Example"
class = "resets"
source = "a paper"
features = { kinds = ["rst"], ip-id = 0x3412, window = 0 }
fits = [{ packets = [{ kind = "rst", ttl = 60, ip-id = 0x3412, window = 0 }] }]
not = [{ packets = [{ kind = "rst", ttl = 60, ip-id = 1, window = 0 }] }]
"#;

    fn message(from: &str, to: &str) -> String {
        assert!(ONE.contains(from), "{from}");
        Signatures::parse(&ONE.replace(from, to), "s.toml").unwrap_err().to_string()
    }

    #[test]
    fn ours_do_what_their_vectors_say() {
        let own = Signatures::own().unwrap();
        assert!(own.len() >= 12, "{}", own.len());
        let unnamed: Vec<_> = own.all.iter().filter(|one| one.vendor.is_none()).collect();
        assert!(!unnamed.is_empty() && unnamed.len() < own.len());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert!(Signatures::parse(ONE, "s.toml").is_ok());
        let one = message(", window = 0 }\nfits", " }\nfits");
        assert!(one.starts_with("s.toml:4:10: signature `a` names `Example` on 1 independent"), "{one}");
        let common = message("ip-id = 0x3412, window = 0 }\nfits", "ip-id = 0, window = 8192 }\nfits");
        assert!(common.contains("all of them common"), "{common}");
        let text = ONE.replace(", window = 0 }\nfits", " }\nfits").replace("vendor = \"Example\"\n", "");
        assert!(Signatures::parse(&text, "s.toml").is_ok(), "a class alone may rest on one");
        assert!(
            message("ip-id = 0x3412, window = 0 }\nfits", "}\nfits").contains("has no feature that tells")
        );
        assert!(
            message("kind = \"rst\", ttl = 60, ip-id = 1", "kind = \"rst\", ttl = 60, ip-id = 0x3412")
                .starts_with("s.toml:9:8: signature `a` fits these packets")
        );
        assert!(
            message(
                "[{ packets = [{ kind = \"rst\", ttl = 60, ip-id = 0x3412",
                "[{ packets = [{ kind = \"rst\", ttl = 60, ip-id = 2"
            )
            .contains("s.toml:8:9: signature `a` doesn't fit")
        );
        assert!(message("a paper", "").contains("no source"));
        assert!(message("class = ", "clas = ").contains("unknown field"));
        assert!(message("id = \"a\"", "id = \"A b\"").contains("is no id"));
        let two = format!("{ONE}{}", ONE.split_once('\n').unwrap().1);
        assert!(Signatures::parse(&two, "s.toml").unwrap_err().message.contains("two signatures `a`"));
    }
}
